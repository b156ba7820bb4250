// `npm run simulate`: plays the simulator (tests/simulation).
//   -- --seed N           one life, told event by event
//   -- --seeds A-B        so many, quietly (default: 1-10000)
//   -- --mutations        breaks every promise of the mutation list, and tells which breaks are caught
//   -- --catching-seeds   the same from seed 1 on, and keeps the first seed that catches each: it is played first
//   -- --report FILE      all of it, as a test suite: kept seeds, 1,000 seeds, mutations
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { packageRoot } from "../setup/paths.mjs";
import { keptSeeds } from "../tests/simulation/kept-seeds.mjs";
import { mutations } from "../tests/simulation/mutations.mjs";
import { bundleSimulator } from "./lib/simulation/bundle.mjs";
import { firstBroken, inParallel, play } from "./lib/simulation/play.mjs";

const usageText =
  "Usage: npm run simulate -- [--seed N | --seeds A-B | --mutations | --catching-seeds]\n";
const values = readOptions();

/** So many seeds a mutation gets to be caught by; none of them is new. */
const seedsPerMutation = 3_000;
/** So many are tried before the kept ones. */
const seedsBeforeKept = 100;
const seedsOfLook = "1-10000";
/** In `npm test`, which has a bound of time: kept seeds and mutations are in it whole. */
const seedsOfSuite = "1-1000";
const catchingSeedsFile = join(packageRoot, "tests", "simulation", "catching-seeds.json");
const count = { passed: 0, failed: 0, skipped: 0 };

if (values.seed !== undefined) process.exitCode = await tell(values.seed);
else if (values.report !== undefined) await suite(values.report);
else if (values.mutations) await playMutations();
else if (values["catching-seeds"]) await playMutations({ keeps: true });
else await playSeeds(values.seeds ?? seedsOfLook);
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
        "catching-seeds": { type: "boolean" },
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

async function playMutations({ keeps = false } = {}) {
  const known = JSON.parse(readFileSync(catchingSeedsFile, "utf8"));
  const tried = await inParallel(mutations, (mutation) =>
    tryMutation(mutation, keeps ? undefined : known[mutation.name]),
  );
  for (const { name, seed, how } of tried)
    note(seed !== undefined, `broken on purpose: ${name}: ${how}`);
  const caught = tried.filter(({ seed }) => seed !== undefined);
  process.stdout.write(`mutation score: ${caught.length} of ${mutations.length}\n`);
  if (keeps) keepSeeds(caught);
}

/** @returns {Promise<{ name: string, seed?: number, how: string }>} `seed`: the first that catches it. */
async function tryMutation(mutation, knownSeed) {
  const { name } = mutation;
  try {
    const bundle = await bundleSimulator(`mutated-${mutations.indexOf(mutation)}`, mutation);
    const first = await firstBroken(bundle, seedsToTry(knownSeed));
    rmSync(bundle);
    if (first === undefined) return { name, how: `not caught in ${seedsPerMutation} seeds` };
    const how = `seed ${first.seed}: ${first.broken.split("\n")[0].slice(0, 160)}`;
    return { name, seed: first.seed, how };
  } catch (error) {
    return { name, how: error.message };
  }
}

/** The one that caught it last, then from seed 1 on, but for what is caught late: its seed is kept. */
function seedsToTry(knownSeed) {
  const early = `1-${seedsBeforeKept}`;
  const late = `${seedsBeforeKept + 1}-${seedsPerMutation}`;
  const kept = keptSeeds.map(({ seed }) => seed);
  return [knownSeed ?? [], early, kept, late].flat().map(String);
}

function keepSeeds(caught) {
  const seeds = Object.fromEntries(caught.map(({ name, seed }) => [name, seed]));
  writeFileSync(catchingSeedsFile, `${JSON.stringify(seeds, null, 2)}\n`);
}
