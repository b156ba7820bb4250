/** The server of this clone, started as a user starts it. */
import { commandLine } from "../../../setup/clone/node.mjs";
import { run } from "../../../setup/process.mjs";
import { startServer } from "../../lib/gate/server.mjs";
import { Unavailable } from "./process.mjs";

const maxBatchDefault = 16;
const diskFlag = "--prefix-cache-dir";

/**
 * @param {{ id?: string, model?: string, flags?: readonly string[] }} options `flags`: what a variant has beside.
 * @returns {import("./index.mjs").Peer}
 */
export function ours({ id = "ours", model, flags = [] } = {}) {
  const given = [...(model === undefined ? [] : ["--model", model]), ...flags];
  const flagsFor = ({ rows }) => (rows > maxBatchDefault ? ["--max-batch", String(rows)] : []);
  return {
    id,
    title: flags.length === 0 ? "mlx-serving" : `mlx-serving ${flags.join(" ")}`,
    slow: false,
    command: ["mlx-serving", "serve", "--max-batch", "(rows, if above 16)", ...given].join(" "),
    async start({ needs, signal, keptIn }) {
      const disk = keptIn !== undefined && (await hasDisk(signal)) ? [diskFlag, keptIn] : [];
      const all = ["--log-level", "warn", ...flagsFor(needs), ...given, ...disk];
      const server = await startServer({ flags: all, env: {}, signal });
      return { ...server, kvBytes: () => kvBytesOf(server.url) };
    },
  };
}

let disk;
/** Whether this version keeps prefixes on disk. */
async function hasDisk(signal) {
  disk ??= run(process.execPath, [commandLine, "serve", "--help"], { signal });
  return (await disk).includes(diskFlag);
}

/** Of all rows of all workers. */
async function kvBytesOf(url) {
  const answer = await fetch(`${url}/admin/workers`).catch((error) => {
    throw new Unavailable(`it doesn't tell what its rows hold: ${error.message}`);
  });
  const workers = await answer.json();
  const bytes = workers.map(({ telemetry }) => telemetry?.kvBytes);
  return bytes.every((value) => typeof value === "number")
    ? bytes.reduce((sum, value) => sum + value, 0)
    : undefined;
}
