/**
 * `npm run bench:native`: what each native part gains. Two servers, with the part and without it, get the
 * same loads in turn, round by round; a table with the gain, its spread and the verdict goes to the
 * standard output. Takes about half an hour; nothing else should run meanwhile.
 *
 *   npm run bench:native
 *   npm run bench:native -- pool metrics --rounds 15 --json result.json
 *   npm run bench:native -- --baseline docs/performance/native.json     exit code 1 if a part gains less
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { interruptible } from "../setup/clone/interrupt.mjs";
import { logOf } from "../setup/clone/node.mjs";
import { setUp } from "../setup/clone/setup.mjs";
import { embeddedModelFolder } from "../setup/model.mjs";
import { packageRoot } from "../setup/paths.mjs";
import { ensureFloatModel } from "./lib/float-model.mjs";
import { environmentFor, loadsOf, pairs, partNames } from "./lib/gate/plan.mjs";
import { startServer } from "./lib/gate/server.mjs";
import { formatGain, gainOf, judge, regressionsOf, tableOf } from "./lib/gate/verdict.mjs";

const roundsDefault = 7;
const roundsOfSlowDefault = 3;
const requestTimeoutMs = 600_000;

const usage = `Usage: npm run bench:native -- [PAIR …] [--model ID] [--rounds N] [--json FILE] [--baseline FILE]
Pairs: ${pairs.map(({ id }) => id).join(", ")}\n`;
const { chosen, model, rounds, json, stored } = parseCommandLine();

function parseCommandLine() {
  const text = { type: "string" };
  const options = {
    model: text,
    rounds: text,
    json: text,
    baseline: text,
    help: { type: "boolean" },
  };
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    if (values.help) {
      process.stdout.write(usage);
      process.exit(0);
    }
    const unknown = positionals.filter((id) => !pairs.some((pair) => pair.id === id));
    if (unknown.length > 0) throw new Error(`There is no pair ${unknown.join(", ")}.`);
    const count = values.rounds === undefined ? undefined : Number(values.rounds);
    if (count !== undefined && !(Number.isInteger(count) && count > 0)) {
      throw new Error("--rounds must be a whole number above 0.");
    }
    const { baseline } = values;
    const stored = baseline === undefined ? [] : JSON.parse(readFileSync(baseline, "utf8")).results;
    const wanted = (pair) => positionals.length === 0 || positionals.includes(pair.id);
    return { ...values, chosen: pairs.filter(wanted), rounds: count, stored };
  } catch (error) {
    process.stderr.write(`${error.message}\n${usage}`);
    process.exit(2);
  }
}

const say = (text) => process.stderr.write(`${text}\n`);

await interruptible(async (signal) => {
  await setUp({ model: model === undefined, native: true, signal });
  const modules = join(packageRoot, "dist", "src-ts", "bench");
  const { runBench } = await import(pathToFileURL(join(modules, "bench.js")).href);
  const { jsonReport } = await import(pathToFileURL(join(modules, "report.js")).href);
  const results = [];
  for (const pair of chosen) {
    const result = await measure(pair, runBench, signal);
    if (result === undefined) continue;
    results.push(result);
    if (json !== undefined) {
      const report = jsonReport({ model, rounds }, { results });
      writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`);
    }
  }
  process.stdout.write(results.length > 0 ? tableOf(results) : "Nothing was measured.\n");
  const regressions = regressionsOf(results, stored);
  for (const line of regressions) say(`Worse than before: ${line}`);
  if (regressions.length > 0) process.exitCode = 1;
});

/** Undefined, with a line that says why, where the part has nothing to do. */
async function measure(pair, runBench, signal) {
  const flags = await flagsFor(pair, signal);
  const start = (parts) => startServer({ flags, env: environmentFor(parts), signal });
  const withPart = await start(pair.on);
  try {
    const parts = await withPart.parts();
    const missing = partNames.includes(pair.id) && !parts[pair.id]?.on;
    if (missing) return void say(`${pair.id}: left out, ${parts[pair.id]?.reason ?? "not there"}`);
    const withoutPart = await start(pair.off);
    try {
      say(`${pair.id}: ${pair.about}`);
      return await compareUnderLoads(pair, withPart.url, withoutPart.url, runBench);
    } finally {
      await withoutPart.stop();
    }
  } finally {
    await withPart.stop();
  }
}

async function compareUnderLoads(pair, url, vs, runBench) {
  const loads = [];
  const observer = { onRound() {}, onRequest() {} };
  for (const { id, title, figure, load } of loadsOf(pair)) {
    const body = pair.body ?? { temperature: 0 };
    const report = await runBench(
      {
        ...{ url, vs, api: "chat", sockets: 1, timeout: requestTimeoutMs },
        ...load,
        ...{ body, vsBody: body, warmup: load.streams },
        rounds: rounds ?? (pair.slow ? roundsOfSlowDefault : roundsDefault),
      },
      observer,
    );
    const failed = report.targets.some(({ summary }) => summary.succeeded < summary.requests);
    if (failed) throw new Error(`Requests of ${pair.id}, ${id} have failed.`);
    const gain = gainOf(report.ratios.find(({ name }) => name === figure));
    const figures = report.targets.map(({ summary }) => figureOf(summary, figure));
    say(`  ${title}: ${formatGain(gain.median)} (${figures.join(" against ")})`);
    loads.push({ id, title, gain, figures });
  }
  const { gain, verdict } = judge(loads.map((load) => load.gain));
  say(`  verdict: ${verdict} (${formatGain(gain)})`);
  return { id: pair.id, about: pair.about, loads, gain, verdict };
}

function figureOf(summary, figure) {
  return figure === "tokens/s"
    ? `${summary.tokensPerSecond.toFixed(1)} tokens/s`
    : `${summary.endToEndMs.p50.toFixed(1)} ms`;
}

async function flagsFor({ floatModel = false }, signal) {
  if (!floatModel) return model === undefined ? [] : ["--model", model];
  if (model !== undefined) throw new Error("blas-float measures the embedded model alone.");
  const logFile = logOf("bench-native");
  return ["--model", await ensureFloatModel(embeddedModelFolder(), { signal, logFile })];
}
