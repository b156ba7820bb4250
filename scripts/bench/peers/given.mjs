/** Servers that run already: `--peer name=url`. */
import { answers, Unavailable } from "./process.mjs";

/**
 * @param {string} id
 * @param {string} url With or without /v1.
 * @returns {import("./index.mjs").Peer}
 */
export function given(id, url) {
  const base = url.replace(/\/+$/, "").replace(/\/v1$/, "");
  return {
    id,
    title: id,
    slow: false,
    running: true,
    command: `--peer ${id}=${url}`,
    async start() {
      if (!(await answers(`${base}/v1/models`)))
        throw new Unavailable(`nothing answers at ${base}/v1/models`);
      return { url: base, model: await onlyModel(base), stop: async () => {} };
    },
  };
}

/** Some want to be told which; undefined where it is not clear. */
async function onlyModel(base) {
  const { data } = await (await fetch(`${base}/v1/models`)).json();
  return Array.isArray(data) && data.length > 0 ? data[0].id : undefined;
}
