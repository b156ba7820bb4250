/** Which servers are measured: ours first, and who it is compared with. */
import { given } from "./given.mjs";
import { llamaServer } from "./llama-server.mjs";
import { mlxLmPeers } from "./mlx-lm.mjs";
import { installedPeers } from "./on-macs.mjs";
import { ours } from "./ours.mjs";

/**
 * @typedef {{
 *   url: string,
 *   pid?: number,
 *   model?: string,
 *   kvBytes?: () => Promise<number | undefined>,
 *   stop: () => Promise<void>,
 * }} Server `pid`: of its first process, where it is ours to watch.
 *
 * @typedef {{
 *   needs: import("../scenarios/common.mjs").Needs,
 *   signal: AbortSignal,
 *   keptIn?: string,
 * }} Start
 *
 * @typedef {{
 *   id: string,
 *   title: string,
 *   command: string,
 *   slow: boolean,
 *   running?: boolean,
 *   version?: (signal: AbortSignal) => Promise<string>,
 *   start: (start: Start) => Promise<Server>,
 * }} Peer `slow`: gets only what is light; `running`: can't be started and stopped; `start` rejects with
 *   Unavailable, whose message is the reason in the table.
 */

/**
 * @param {{
 *   model?: string,
 *   modelFolder: string,
 *   gguf?: string,
 *   llamaServer?: string,
 *   chosen?: readonly string[],
 *   given: readonly { name: string, url: string }[],
 *   variants: readonly { name: string, flags: readonly string[] }[],
 *   detail?: (text: string) => void,
 * }} options `chosen`: ids; default: all.
 * @returns {Peer[]}
 */
export function peersOf(options) {
  const { model, modelFolder, gguf, chosen, detail } = options;
  const others = [
    llamaServer({ program: options.llamaServer, model, gguf, detail }),
    ...mlxLmPeers(modelFolder),
    ...installedPeers(modelFolder),
  ];
  const unknown = chosen?.find((id) => !others.some((peer) => peer.id === id));
  if (unknown !== undefined)
    throw new Error(
      `There is no peer ${unknown}; there are ${others.map(({ id }) => id).join(", ")}.`,
    );
  return [
    ours({ model }),
    ...options.variants.map(({ name, flags }) => ours({ id: name, model, flags })),
    ...others.filter(({ id }) => chosen === undefined || chosen.includes(id)),
    ...options.given.map(({ name, url }) => given(name, url)),
  ];
}
