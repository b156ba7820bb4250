// `npm run simulate`: plays the simulator (tests/simulation).
//   -- --seed N           one life, told event by event
//   -- --seeds A-B        so many, quietly (default: 1-10000)
//   -- --mutations        breaks every promise of the mutation list, and tells which breaks are caught
//   -- --report FILE      all of it, as a test suite: kept seeds, 10,000 seeds, mutations
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { keptSeeds } from "../tests/simulation/kept-seeds.mjs";
import { mutations } from "../tests/simulation/mutations.mjs";
import { bundleSimulator } from "./lib/simulation/bundle.mjs";
import { play } from "./lib/simulation/play.mjs";

const usageText = "Usage: npm run simulate -- [--seed N | --seeds A-B | --mutations]\n";
const values = readOptions();

/** So many seeds a mutation gets to be caught by; none of them is new. */
const seedsPerMutation = 3_000;
/** So many are tried before the kept ones. */
const seedsBeforeKept = 100;
const seedsOfSuite = "1-10000";
const count = { passed: 0, failed: 0, skipped: 0 };

if (values.seed !== undefined) process.exitCode = await tell(values.seed);
else if (values.report !== undefined) await suite(values.report);
else if (values.mutations) await playMutations();
else await playSeeds(values.seeds ?? seedsOfSuite);
if (count.failed > 0) process.exitCode = 1;

function note(isGood, text) {
  count[isGood ? "passed" : "failed"] += 1;
  process.stdout.write(`${isGood ? "✓" : "✗"} ${text}\n`);
}

async function tell(seed) {
  if (!/^[1-9]\d*$/.test(seed)) usage("--seed must be a number from 1 on.");
  const bundle = await bundleSimulator("simulator");
  const args = ["--enable-source-maps", bundle, seed, "--trace"];
  const { status } = spawnSync(process.execPath, args, { stdio: "inherit" });
  return status ?? 1;
}

function usage(sentence) {
  process.stderr.write(`${sentence}\n${usageText}`);
  process.exit(2);
}

function readOptions() {
  try {
    return parseArgs({
      options: {
        seed: { type: "string" },
        seeds: { type: "string" },
        mutations: { type: "boolean" },
        report: { type: "string" },
      },
    }).values;
  } catch (error) {
    return usage(error.message);
  }
}

async function suite(report) {
  await playKept();
  await playSeeds(seedsOfSuite);
  await playMutations();
  mkdirSync(dirname(report), { recursive: true });
  writeFileSync(report, JSON.stringify(count));
}

async function playKept() {
  const bundle = await bundleSimulator("simulator");
  for (const { seed, found } of keptSeeds) {
    const { broken } = await play(bundle, { from: seed, to: seed });
    note(broken.length === 0, `seed ${seed}: ${broken[0]?.broken ?? found}`);
  }
}

async function playSeeds(range) {
  const [from, to = from] = range.split("-").map(Number);
  if (!(from >= 1 && to >= from)) usage("--seeds must be a range such as 1-10000.");
  const bundle = await bundleSimulator("simulator");
  const { seeds, events, virtualMs, faults, broken } = await play(bundle, { from, to });
  const hours = (virtualMs / 3_600_000).toFixed(1);
  for (const one of broken)
    process.stdout.write(
      `  seed ${one.seed}: ${one.broken}\n  npm run simulate -- --seed ${one.seed}\n`,
    );
  note(
    broken.length === 0,
    `${seeds} seeds, ${events} events, ${faults} faults, ${hours} virtual hours: ${broken.length} broken promises`,
  );
}

async function playMutations() {
  let caught = 0;
  for (const mutation of mutations) {
    const { isCaught, how } = await tryMutation(mutation);
    if (isCaught) caught++;
    note(isCaught, `broken on purpose: ${mutation.name}: ${how}`);
  }
  process.stdout.write(`mutation score: ${caught} of ${mutations.length}\n`);
}

async function tryMutation(mutation) {
  try {
    const bundle = await bundleSimulator("mutated", mutation);
    const [first] = await firstBroken(bundle);
    if (first === undefined)
      return { isCaught: false, how: `not caught in ${seedsPerMutation} seeds` };
    return {
      isCaught: true,
      how: `seed ${first.seed}: ${first.broken.split("\n")[0].slice(0, 160)}`,
    };
  } catch (error) {
    return { isCaught: false, how: error.message };
  }
}

/** Looked for from seed 1 on, but for what is caught late: its seed is kept. */
async function firstBroken(bundle) {
  const early = await play(bundle, { from: 1, to: seedsBeforeKept, stopsAtFirst: true });
  if (early.broken.length > 0) return early.broken.toSorted((a, b) => a.seed - b.seed);
  for (const { seed } of keptSeeds) {
    const { broken } = await play(bundle, { from: seed, to: seed });
    if (broken.length > 0) return broken;
  }
  const from = seedsBeforeKept + 1;
  return (await play(bundle, { from, to: seedsPerMutation, stopsAtFirst: true })).broken;
}
