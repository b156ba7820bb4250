/** Plays seeds in processes of their own. */
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { createInterface } from "node:readline";

/**
 * @typedef {{ seed: number, broken: string }} Broken
 * @typedef {{ seeds: number, events: number, virtualMs: number, faults: number, broken: Broken[] }} Played
 */

/** Seeds that are played before the next are handed out: not so many that the last ones are waited for by all. */
const seedsPerTurn = 250;
/** Lives that take longer do not end. */
const turnMsMax = 120_000;
const lookMsMax = 600_000;
/** There is a process a core: what V8 does on threads beside it would only wait for another's core. */
const v8Flags = ["--single-threaded", "--min-semi-space-size=64", "--max-semi-space-size=64"];

/**
 * As many processes as there are cores, each for many turns: one that begins is slow until its code is compiled.
 * @param {string} bundle
 * @param {{ from: number, to: number }} range
 * @returns {Promise<Played>}
 */
export async function play(bundle, { from, to }) {
  /** @type {Played} */
  const total = { seeds: 0, events: 0, virtualMs: 0, faults: 0, broken: [] };
  const turns = [];
  for (let first = from; first <= to; first += seedsPerTurn)
    turns.push(`${first}-${Math.min(to, first + seedsPerTurn - 1)}`);
  const idle = [];
  await inParallel(turns, async (range) => {
    const player = idle.pop() ?? startPlayer(bundle);
    add(total, await player.play([range], turnMsMax));
    if (player.isAlive()) idle.push(player);
  });
  for (const player of idle) player.end();
  return total;
}

/**
 * One process plays these seeds in this order, up to the first that breaks a promise.
 * @param {string} bundle
 * @param {string[]} ranges
 * @returns {Promise<Broken | undefined>}
 */
export async function firstBroken(bundle, ranges) {
  const player = startPlayer(bundle, ["--first"]);
  const { broken } = await player.play(ranges, lookMsMax);
  player.end();
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

/** A process that plays what it is asked to, until its end. */
function startPlayer(bundle, flags = []) {
  const args = [...v8Flags, "--enable-source-maps", bundle, "--listen", ...flags];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "pipe"] });
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  // One that has died says so by the end of what it prints.
  child.stdin.on("error", () => {});
  const ended = new Promise((resolve) => child.once("close", resolve));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let isAlive = true;

  /** @returns {Promise<Played>} */
  async function play(ranges, msMax) {
    const timer = setTimeout(() => child.kill("SIGKILL"), msMax);
    child.stdin.write(`${ranges.join(" ")}\n`);
    const broken = [];
    try {
      for (;;) {
        const { value: line, done } = await lines.next();
        if (done) break;
        if (!line.startsWith("{")) continue;
        const told = JSON.parse(line);
        if (typeof told.broken === "number") return { ...told, broken };
        broken.push(told);
      }
    } finally {
      clearTimeout(timer);
    }
    isAlive = false;
    const why = `seeds ${ranges.join(", ")} ended with ${await ended}: ${errors.slice(-2000)}`;
    const none = { seeds: 0, events: 0, virtualMs: 0, faults: 0 };
    return { ...none, broken: [...broken, { seed: Number.parseInt(ranges[0], 10), broken: why }] };
  }

  return { play, isAlive: () => isAlive, end: () => child.stdin.end() };
}
