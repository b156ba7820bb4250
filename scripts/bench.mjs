/**
 * `npm run bench`: ours and its peers on the same weights, side by side, through the scenarios of
 * scripts/bench/scenarios. Writes docs/performance/bench.json and bench.svg, and the table of docs/PERFORMANCE.md,
 * after every scenario; one that is measured again replaces its own part. Nothing else should run meanwhile.
 *
 *   npm run bench
 *   npm run bench -- --scenarios agents,beside --peers llama-server --rounds 5
 *   npm run bench -- --quick --peer other=http://127.0.0.1:8000
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { interruptible } from "../setup/clone/interrupt.mjs";
import { setupFolder } from "../setup/clone/node.mjs";
import { setUp } from "../setup/clone/setup.mjs";
import { embeddedModelFolder } from "../setup/model.mjs";
import { packageRoot } from "../setup/paths.mjs";
import { measureScenario } from "./bench/measure.mjs";
import { parseOptions, usage } from "./bench/options.mjs";
import { peersOf } from "./bench/peers/index.mjs";
import { Profiler } from "./bench/profile.mjs";
import { resultOf } from "./bench/report/result.mjs";
import { scenarios } from "./bench/scenarios/index.mjs";
import { loadToolkit } from "./bench/toolkit.mjs";

const say = (text) => process.stderr.write(`${text}\n`);
const options = readOptions();

function readOptions() {
  try {
    const options = parseOptions(process.argv.slice(2));
    if (options.help) {
      process.stdout.write(usage);
      process.exit(0);
    }
    return { ...options, peers: peersFor(options) };
  } catch (error) {
    process.stderr.write(`${error.message}\n${usage}`);
    process.exit(2);
  }
}

function peersFor(options) {
  const { model } = options;
  let told = "";
  const detail = (text) => {
    if (text !== told) say(`  llama-server: ${text}`);
    told = text;
  };
  return peersOf({ ...options, modelFolder: model ?? embeddedModelFolder(), detail });
}

function profilerFor(folder, signal) {
  if (folder === undefined) return undefined;
  mkdirSync(folder, { recursive: true });
  return new Profiler({ folder, signal });
}

/** Only whole loads are worth a place in the documentation. */
function whereTo({ out, size, json }) {
  const order = scenarios.map(({ id }) => id);
  if (out !== undefined) return { folder: out, json, order };
  if (size !== "full") return { folder: join(setupFolder, "bench"), json, order };
  const docs = join(packageRoot, "docs");
  return { folder: join(docs, "performance"), page: join(docs, "PERFORMANCE.md"), json, order };
}

await interruptible(async (signal) => {
  const { peers, size, model, timeoutMs, rounds, alone } = options;
  await setUp({ model: model === undefined, native: true, signal });
  // Needs packages, which the set-up may just have brought.
  const { writeFiles } = await import("./bench/report/files.mjs");
  const toolkit = await loadToolkit({ timeoutMs });
  const where = whereTo(options);
  const given = process.argv.slice(2);
  const command = ["npm run bench", ...(given.length > 0 ? ["--", ...given] : [])].join(" ");
  const profiler = profilerFor(options.profile, signal);
  const servers = [];
  for (const { id, title, version, command: started } of peers)
    servers.push({ id, title, version: await version?.(signal), command: started });
  for (const scenario of options.scenarios) {
    say(`${scenario.id}: ${scenario.about}`);
    const common = { scenario, size, peers, rounds, alone, toolkit, profiler, signal, say };
    const measured = await measureScenario(common);
    const stamp = toolkit.jsonReport({}, {});
    await writeFiles(resultOf({ scenarios: [measured], servers, stamp, command, size }), where);
  }
  say(`Written to ${where.folder}.`);
});
