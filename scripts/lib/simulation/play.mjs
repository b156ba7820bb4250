/** Plays seeds in processes of their own, as many at a time as there are cores. */
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";

/**
 * @typedef {{ seed: number, broken: string }} Broken
 * @typedef {{ seeds: number, events: number, virtualMs: number, faults: number, broken: Broken[] }} Played
 */

/** Seeds that one process plays: not so many that the last one is waited for by all. */
const seedsPerProcess = 250;
/** Where the first broken promise is looked for: it mostly comes soon, so the first processes get few. */
const seedsPerFirstLook = 10;
const seedsPerLook = 80;
/** A life that takes longer does not end. */
const processMsMax = 120_000;

/**
 * @param {string} bundle
 * @param {{ from: number, to: number, stopsAtFirst?: boolean, onProgress?: (seeds: number) => void }} options
 * @returns {Promise<Played>}
 */
export async function play(bundle, { from, to, stopsAtFirst = false, onProgress }) {
  /** @type {Played} */
  const total = { seeds: 0, events: 0, virtualMs: 0, faults: 0, broken: [] };
  let next = from;
  let share = stopsAtFirst ? seedsPerFirstLook : seedsPerProcess;
  const work = async () => {
    while (next <= to && !(stopsAtFirst && total.broken.length > 0)) {
      const first = next;
      const last = Math.min(to, first + share - 1);
      next = last + 1;
      if (stopsAtFirst) share = Math.min(2 * share, seedsPerLook);
      add(total, await playSome(bundle, first, last, stopsAtFirst ? ["--first"] : []));
      onProgress?.(total.seeds);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return total;
}

function add(total, part) {
  for (const name of ["seeds", "events", "virtualMs", "faults"]) total[name] += part[name];
  total.broken.push(...part.broken);
}

/** @returns {Promise<Played>} */
async function playSome(bundle, from, to, flags) {
  const child = spawn(
    process.execPath,
    ["--enable-source-maps", bundle, String(from), String(to), ...flags],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const timer = setTimeout(() => child.kill("SIGKILL"), processMsMax);
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
  const why = `seeds ${from} to ${to} ended with ${code}: ${errors.slice(-2000)}`;
  const none = { seeds: to - from + 1, events: 0, virtualMs: 0, faults: 0 };
  return { ...none, broken: [...broken, { seed: from, broken: why }] };
}
