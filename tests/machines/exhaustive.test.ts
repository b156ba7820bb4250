import { describe, expect, it } from "vitest";
import { type Configuration, onTheWire, quick, twoWorkers } from "./exhaustive/configuration.js";
import { mutations } from "./exhaustive/mutations.js";
import { Parts } from "./exhaustive/parts.js";
import { lineOf } from "./exhaustive/report.js";
import { Counterexample, search } from "./exhaustive/search.js";
import type { World } from "./exhaustive/world.js";

/** Of a machine that is busy with other things too. */
const searchMsMax = 300_000;

function counterexampleOf(run: () => unknown): Counterexample {
  try {
    run();
  } catch (error) {
    if (error instanceof Counterexample) return error;
    throw error;
  }
  throw new Error("no law is broken");
}

/** What the loop knows, whatever processes and wires hold. */
function loopSide({ requests, workers, server }: World): string {
  const seen = workers.map(({ process: _process, ...worker }) => worker);
  return JSON.stringify([requests, seen, server.phase]);
}

function loopSides(configuration: Configuration): Set<string> {
  const sides = new Set<string>();
  search(configuration, { visit: (world) => sides.add(loopSide(world)) });
  return sides;
}

describe("every state keeps every law, and leads to the end", () => {
  it.each(quick)(
    "$name",
    (configuration) => {
      const found = search(configuration);
      process.stdout.write(`${lineOf(found)}\n`);
      // A search that stops early says so by throwing; one that never began would not.
      expect(found.states).toBeGreaterThan(1_000);
    },
    searchMsMax,
  );
});

describe("a wire on which nothing waits", () => {
  it(
    "leads the loop through the same as one on which frames wait, are cut and lost",
    () => {
      const waiting = loopSides(onTheWire);
      const meeting = loopSides({ ...onTheWire, wire: "rendezvous" });
      expect(waiting.size).toBeGreaterThan(500);
      expect([...waiting].filter((side) => !meeting.has(side))).toEqual([]);
      expect([...meeting].filter((side) => !waiting.has(side))).toEqual([]);
    },
    searchMsMax,
  );
});

describe("one name for all that only differ in names", () => {
  it(
    "stands for the same states as all the names do",
    () => {
      const symmetric = { ...twoWorkers, faults: ["die"], tokensMax: 1 } as const;
      const parts = new Parts(symmetric);
      const named = new Set<string>();
      const all = search(
        { ...symmetric, symmetric: false },
        { visit: (world) => named.add(parts.encode(world).join()) },
      );
      expect(named.size).toBe(search(symmetric).states);
      expect(named.size).toBeLessThan(all.states / 2);
    },
    searchMsMax,
  );
});

describe("a mistake is found", () => {
  it.each(mutations)(
    "$name",
    ({ configuration, machinery, caught }) => {
      const { law, trace } = counterexampleOf(() => search(configuration, { machinery }));
      expect(law).toMatch(caught);
      expect(trace.length).toBeGreaterThan(0);
    },
    searchMsMax,
  );
});
