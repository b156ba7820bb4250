/**
 * Plays seeds: `main.mjs 7 20-30 [--trace] [--first]`, or, with --listen, those of each line of stdin. Prints one
 * line of JSON a broken promise and one with what was played; ends with 1 if a promise was broken. With --trace each
 * event is told, with --first the first broken promise is the last.
 */
import { createInterface } from "node:readline";
import { scenarioOf } from "./scenario.js";
import { Violation, World } from "./world.js";

const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const isTraced = process.argv.includes("--trace");
const stopsAtFirst = process.argv.includes("--first");
const listens = process.argv.includes("--listen");

process.on("unhandledRejection", (error) => {
  if (!(error instanceof Violation)) throw error;
});

/** The life that a seed stands for: a line for each thing that is going to happen. */
function describe(seed: number): string {
  const { requests, directs, faults, ...rest } = scenarioOf(seed);
  const lines = [rest, ...requests, ...directs, ...faults].map((one) => JSON.stringify(one));
  return `${lines.join("\n")}\n\n`;
}

function* seedsIn(range: string): Generator<number> {
  const [from, to = from] = range.split("-").map(Number);
  for (let seed = from!; seed <= to!; seed++) yield seed;
}

/** How many promises were broken. */
async function play(ranges: readonly string[]): Promise<number> {
  const total = { seeds: 0, events: 0, virtualMs: 0, faults: 0, broken: 0 };
  for (const seed of ranges.flatMap((range) => [...seedsIn(range)])) {
    const world = new World(scenarioOf(seed), isTraced);
    if (isTraced) process.stdout.write(describe(seed));
    total.seeds++;
    try {
      const { events, virtualMs, faults } = await world.run();
      total.events += events;
      total.virtualMs += virtualMs;
      total.faults += faults;
    } catch (error) {
      total.broken++;
      const what = error instanceof Violation ? error.message : (error as Error).stack;
      process.stdout.write(`${world.lines.join("\n")}${JSON.stringify({ seed, broken: what })}\n`);
      if (stopsAtFirst) break;
      continue;
    }
    if (isTraced) process.stdout.write(`${world.lines.join("\n")}\n`);
  }
  process.stdout.write(`${JSON.stringify(total)}\n`);
  return total.broken;
}

let broken = 0;
if (listens)
  for await (const line of createInterface(process.stdin)) broken += await play(line.split(" "));
else broken = await play(words);
process.exit(broken > 0 ? 1 : 0);
