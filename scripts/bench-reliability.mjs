/**
 * `npm run bench:reliability`: what surviving costs. How long a stream stands still when its worker is
 * killed, what a data folder takes of the tokens a second, how long a start takes that has much to restore.
 * Nothing else should run meanwhile; a quarter of an hour.
 *
 *   npm run bench:reliability -- --json docs/performance/reliability.json
 *   npm run bench:reliability -- recovery --engine fake --rounds 3
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { interruptible } from "../setup/clone/interrupt.mjs";
import { setUp } from "../setup/clone/setup.mjs";
import { packageRoot } from "../setup/paths.mjs";
import { measureRecovery } from "./lib/reliability/recovery.mjs";
import { measureRestore } from "./lib/reliability/restore.mjs";
import { measureThroughput } from "./lib/reliability/throughput.mjs";

const parts = ["recovery", "throughput", "restore"];
const engines = ["fake", "mlx"];
const roundsDefault = { recovery: 10, throughput: 7, restore: 3 };

const usage = `Usage: npm run bench:reliability -- [${parts.join("|")} …] [--engine fake|mlx] [--rounds N] [--json FILE]\n`;
const say = (text) => process.stderr.write(`${text}\n`);
const fromDist = (...path) =>
  import(pathToFileURL(join(packageRoot, "dist", "src-ts", ...path)).href);
const options = parseCommandLine();

function parseCommandLine() {
  const text = { type: "string" };
  try {
    const { values, positionals } = parseArgs({
      options: { engine: text, rounds: text, json: text, help: { type: "boolean" } },
      allowPositionals: true,
    });
    if (values.help) {
      process.stdout.write(usage);
      process.exit(0);
    }
    const unknown = positionals.find((name) => !parts.includes(name));
    if (unknown !== undefined) throw new Error(`There is no part ${unknown}.`);
    const { engine, json } = values;
    if (engine !== undefined && !engines.includes(engine))
      throw new Error("--engine is fake or mlx.");
    const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
    if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0))
      throw new Error("--rounds must be a whole number above 0.");
    const chosen = positionals.length === 0 ? parts : positionals;
    return { chosen, engines: engine === undefined ? engines : [engine], rounds, json };
  } catch (error) {
    process.stderr.write(`${error.message}\n${usage}`);
    process.exit(2);
  }
}

await interruptible(async (signal) => {
  const { chosen, engines: used, rounds, json } = options;
  const withModel = used.includes("mlx");
  await setUp({ model: withModel, native: withModel, signal });
  const { connect } = await fromDist("client", "index.js");
  const { runBench } = await fromDist("bench", "bench.js");
  const { openJournal } = await fromDist("journal", "index.js");
  const { responseSubmission } = await fromDist("server", "submissions", "responses.js");
  const writers = { openJournal, responseSubmission };
  const { jsonReport } = await fromDist("bench", "report.js");
  const result = {};
  const measures = {
    recovery: (engine, common) => measureRecovery({ ...common, engine, connect }),
    throughput: (engine, common) => measureThroughput({ ...common, engine, runBench }),
  };
  for (const part of chosen) {
    say(part);
    const common = { rounds: rounds ?? roundsDefault[part], signal, say };
    const measure = measures[part];
    if (measure === undefined) result[part] = await measureRestore({ ...common, writers });
    else {
      result[part] = [];
      for (const engine of used) result[part].push(...(await measure(engine, common)));
    }
    if (json === undefined) continue;
    const report = jsonReport({ chosen, rounds }, result);
    writeFileSync(json, `${JSON.stringify(report, null, 1)}\n`);
  }
});
