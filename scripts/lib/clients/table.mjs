/** Which clients there are, in which versions: tests/clients/table.json, checked. Runs nothing. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../../setup/paths.mjs";

export const clientTests = join(packageRoot, "tests", "clients");
export const examplesFolder = join(packageRoot, "examples");

/**
 * @typedef {{
 *   id: string, title: string, kind: "agent" | "node" | "python" | "example",
 *   packages: Record<string, string>, agent?: string, program?: string, variant?: string, nodeMin?: number,
 *   requirements?: string,
 * }} Client `nodeMin`: what its packages ask for; `program`: in tests/clients, that of an example in its folder of examples/; `requirements`: of a Python client with an environment of its own. The first package is the one that the client is called after.
 * @typedef {{ nodes: Record<string, string>, clients: Client[] }} Table `nodes`: major version to the pinned one.
 */

/** @returns {Table} */
export const readTable = () => JSON.parse(readFileSync(join(clientTests, "table.json"), "utf8"));

/** Such as `openai 7.59.0`; nothing of what only its program needs. */
export function versionOf({ packages }) {
  const [name, version] = Object.entries(packages)[0] ?? [];
  const beside = Object.entries(packages)
    .slice(1)
    .filter(([other]) => /^@?(ai-sdk|langchain)/.test(other));
  return [[name, version], ...beside].map(([of, is]) => `${of} ${is}`).join(", ");
}

/**
 * Why this client can't run on this Node at all; undefined: it can.
 * @param {{ nodeMin?: number }} client
 * @param {number} major
 */
export function refusalOf({ nodeMin }, major) {
  return nodeMin !== undefined && major < nodeMin ? `asks for Node ${nodeMin}` : undefined;
}

/** @param {Table} table @param {readonly string[]} only Ids, or what they begin with before a dash; none: all. */
export function chosen(table, only) {
  const isFor = (name) => (client) => client.id === name || client.id.startsWith(`${name}-`);
  const unknown = only.filter((name) => !table.clients.some(isFor(name)));
  if (unknown.length > 0) {
    const ids = table.clients.map(({ id }) => id).join(", ");
    throw new Error(`No client is called ${unknown.join(", ")}; there are ${ids}.`);
  }
  if (only.length === 0) return table.clients;
  return table.clients.filter((client) => only.some((name) => isFor(name)(client)));
}
