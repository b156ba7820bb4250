/** Plays seeds in processes of their own. */
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";

/**
 * @typedef {{ seed: number, broken: string }} Broken
 * @typedef {{ seeds: number, events: number, virtualMs: number, faults: number, broken: Broken[] }} Played
 */

/** Seeds that one process plays: not so many that the last one is waited for by all. */
const seedsPerProcess = 250;
/** Lives that take longer do not end. */
const processMsMax = 120_000;
const lookMsMax = 600_000;

/**
 * As many processes at a time as there are cores.
 * @param {string} bundle
 * @param {{ from: number, to: number }} range
 * @returns {Promise<Played>}
 */
export async function play(bundle, { from, to }) {
  /** @type {Played} */
  const total = { seeds: 0, events: 0, virtualMs: 0, faults: 0, broken: [] };
  const starts = [];
  for (let first = from; first <= to; first += seedsPerProcess) starts.push(first);
  await inParallel(starts, async (first) => {
    const last = Math.min(to, first + seedsPerProcess - 1);
    add(total, await playSome(bundle, [`${first}-${last}`], [], processMsMax));
  });
  return total;
}

/**
 * One process plays these seeds in this order, up to the first that breaks a promise.
 * @param {string} bundle
 * @param {string[]} ranges
 * @returns {Promise<Broken | undefined>}
 */
export async function firstBroken(bundle, ranges) {
  const { broken } = await playSome(bundle, ranges, ["--first"], lookMsMax);
  return broken[0];
}

/**
 * @template T
 * @template R
 * @param {readonly T[]} list
 * @param {(one: T) => Promise<R>} run
 * @returns {Promise<R[]>} In the order of the list. As many at a time as there are cores.
 */
export async function inParallel(list, run) {
  const results = [];
  let next = 0;
  const work = async () => {
    while (next < list.length) {
      const index = next++;
      results[index] = await run(list[index]);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return results;
}

function add(total, part) {
  for (const name of ["seeds", "events", "virtualMs", "faults"]) total[name] += part[name];
  total.broken.push(...part.broken);
}

/** @returns {Promise<Played>} */
async function playSome(bundle, ranges, flags, msMax) {
  const child = spawn(process.execPath, ["--enable-source-maps", bundle, ...ranges, ...flags], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), msMax);
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
  clearTimeout(timer);
  const lines = output
    .split("\n")
    .flatMap((line) => (line.startsWith("{") ? JSON.parse(line) : []));
  const broken = lines.filter((line) => typeof line.broken === "string");
  const sum = lines.find((line) => typeof line.broken === "number");
  if (sum !== undefined) return { ...sum, broken };
  const why = `seeds ${ranges.join(", ")} ended with ${code}: ${errors.slice(-2000)}`;
  const none = { seeds: 0, events: 0, virtualMs: 0, faults: 0 };
  return { ...none, broken: [...broken, { seed: Number.parseInt(ranges[0], 10), broken: why }] };
}
