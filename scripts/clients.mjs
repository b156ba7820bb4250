/**
 * `npm run clients`: coding agents and client libraries, in pinned versions, against the server with the fake engine:
 * undisturbed, and with the worker killed in between. Writes docs/CLIENTS.md. Fetches 2 GB once, takes half an hour.
 *
 *   npm run clients
 *   npm run clients -- --only codex pi      some of them, by their ids or what these begin with; writes nothing
 *   npm run clients -- --node 24            on one Node; writes nothing
 *   npm run clients -- --verbose            with what a client printed that failed
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { interruptible } from "../setup/clone/interrupt.mjs";
import { setUp } from "../setup/clone/setup.mjs";
import { packageRoot } from "../setup/paths.mjs";
import { ensureNode, ensureNpm, ensurePython } from "./lib/clients/install.mjs";
import { countsOf, documentOf, tableOf } from "./lib/clients/report.mjs";
import { isOnPath, runOnce, versionOnPath } from "./lib/clients/run.mjs";
import { chosen, readTable, refusalOf } from "./lib/clients/table.mjs";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string", multiple: true, default: [] },
    node: { type: "string" },
    verbose: { type: "boolean", default: false },
  },
});
const say = (text) => process.stderr.write(`${text}\n`);
const firstLine = (error) => String(error.message ?? error).split("\n")[0];

async function main(signal) {
  await setUp({ model: false, native: false, signal });
  const table = readTable();
  const clients = chosen(table, [...flags.only, ...positionals]);
  const majors = flags.node === undefined ? Object.keys(table.nodes) : [flags.node];
  const nodes = new Map();
  for (const major of majors) nodes.set(major, await ensureNode(table.nodes[major], signal));
  const rows = [];
  for (const client of clients) {
    const all = [...nodes].map(([major, node]) => ({ major: Number(major), node }));
    for (const at of client.kind === "python" ? all.slice(0, 1) : all) {
      const row = { client, on: nameOf(client, at), ...(await outcomeOf(client, at, signal)) };
      rows.push(row);
      say(`${client.id}, ${row.on}: ${row.outcome}`);
    }
  }
  return rows;
}

const nameOf = ({ kind }, { major }) => (kind === "python" ? "Python" : `Node ${major}`);
const notRun = (reason) => ({ did: [], outcome: `not run: ${reason}` });

async function outcomeOf(client, { major, node }, signal) {
  const refusal = refusalOf(client, major);
  if (refusal !== undefined) return notRun(refusal);
  let places;
  try {
    places = await placesOf(client, node, signal);
  } catch (error) {
    if (signal.aborted) throw error;
    return notRun(firstLine(error));
  }
  if (places === undefined) return notRun("not installed by the user");
  const version = places.version;
  const asked = { client, places, signal };
  const still = await runOnce({ ...asked, isDisturbed: false });
  tellOutput(still);
  if (!still.passed) return { version, did: still.did, outcome: `failed: ${still.problem}` };
  const disturbed = await runOnce({ ...asked, isDisturbed: true });
  tellOutput(disturbed);
  const problem =
    disturbed.passed && disturbed.seen !== still.seen ? "another outcome" : disturbed.problem;
  const outcome = problem === undefined ? "passed" : `failed with the worker killed: ${problem}`;
  return { version, did: still.did, outcome };
}

function tellOutput({ passed, output }) {
  if (!passed && flags.verbose) say(output.replaceAll(/^/gm, "  | "));
}

/** Undefined: a client that is never installed for the user, and isn't there. */
async function placesOf({ kind, packages, agent, requirements }, node, signal) {
  if (kind === "python")
    return { node, python: await ensurePython(requirements ?? "requirements", signal) };
  if (Object.keys(packages).length > 0) return { node, modules: await ensureNpm(packages, signal) };
  return isOnPath(agent) ? { node, version: versionOnPath(agent) } : undefined;
}

const rows = await interruptible(main);
const isWhole = flags.only.length + positionals.length === 0 && flags.node === undefined;
if (isWhole) writeFileSync(join(packageRoot, "docs", "CLIENTS.md"), documentOf(rows));
else process.stdout.write(tableOf(rows));
process.stdout.write(`${countsOf(rows)}\n`);
process.exitCode = rows.some(({ outcome }) => outcome.startsWith("failed")) ? 1 : 0;
