/**
 * Servers that people have on their Macs, found by their program or their port. Nobody has run these yet: their
 * command lines are taken from their documentation.
 */

import { findOnPath } from "../../../setup/native/tools.mjs";
import { given } from "./given.mjs";
import { answers, startProcess, Unavailable } from "./process.mjs";

/**
 * `args`: started on the folder of the model; without it the server has models of its own, so that it must run with
 * the same one already.
 */
const known = [
  {
    id: "rapid-mlx",
    title: "Rapid-MLX",
    program: "rapid-mlx",
    port: 8000,
    args: (folder, port) => ["serve", folder, "--port", String(port)],
  },
  { id: "omlx", title: "oMLX", program: "omlx", port: 8000 },
  { id: "lm-studio", title: "LM Studio", program: "lms", port: 1234 },
  { id: "ollama", title: "Ollama", program: "ollama", port: 11434 },
];

/**
 * Those whose program is there.
 * @param {string} folder The model's.
 * @param {(name: string) => string | undefined} [find]
 * @returns {import("./index.mjs").Peer[]}
 */
export function installedPeers(folder, find = findOnPath) {
  return known.flatMap((server) => {
    const program = find(server.program);
    return program === undefined ? [] : [peer(server, program, folder)];
  });
}

function peer({ id, title, port, args }, program, folder) {
  const url = `http://127.0.0.1:${port}`;
  if (args !== undefined) {
    return {
      ...{ id, title, slow: false, command: `${id} ${args("FOLDER", "PORT").join(" ")}` },
      start: ({ signal }) =>
        startProcess({
          ...{ command: program, health: "/v1/models", signal },
          args: (own) => args(folder, own),
        }),
    };
  }
  return {
    ...given(id, url),
    title,
    async start(context) {
      if (await answers(`${url}/v1/models`)) return given(id, url).start(context);
      throw new Unavailable(
        `it is installed and doesn't answer on port ${port}: start it with the same model, or give --peer ${id}=URL`,
      );
    },
  };
}
