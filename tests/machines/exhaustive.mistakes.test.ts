/** What the search rests on, and that it finds mistakes. */
import { beforeAll, describe, expect, it } from "vitest";
import { type Configuration, onTheWire, twoWorkers } from "./exhaustive/configuration.js";
import { load, searchMsMax } from "./exhaustive/loaded.js";
import { mutations } from "./exhaustive/mutations.js";
import type * as Bundle from "./exhaustive/search.js";

let bundle: typeof Bundle;
beforeAll(async () => {
  bundle = await load("shipped");
});

function counterexampleOf({ search, Counterexample }: typeof Bundle, configuration: Configuration) {
  try {
    search(configuration);
  } catch (error) {
    if (error instanceof Counterexample) return error;
    throw error;
  }
  throw new Error("no law is broken");
}

describe("a wire on which nothing waits", () => {
  /** What the orchestrator knows, whatever processes and wires hold. */
  function sidesOf(configuration: Configuration, parts: Bundle.Parts): Set<string> {
    const sides = new Set<string>();
    const visit: NonNullable<Bundle.SearchOptions["visit"]> = (world, view) => {
      sides.add(parts.orchestratorSide(world, view));
    };
    bundle.search(configuration, { visit });
    return sides;
  }

  it(
    "leads the orchestrator through the same as one on which frames wait, are cut and lost",
    () => {
      const parts = new bundle.Parts(onTheWire);
      const waiting = sidesOf(onTheWire, parts);
      const meeting = sidesOf({ ...onTheWire, wire: "rendezvous" }, parts);
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
      const parts = new bundle.Parts(symmetric);
      const named = new Set<string>();
      const all = bundle.search(
        { ...symmetric, symmetric: false },
        { visit: (world, view) => named.add(parts.encode(world, view).join()) },
      );
      expect(named.size).toBe(bundle.search(symmetric).states);
      expect(named.size).toBeLessThan(all.states / 2);
    },
    searchMsMax,
  );
});

describe("a mistake is found", () => {
  it.each(mutations.map((mutation, index) => ({ ...mutation, index })))(
    "$name",
    async ({ index, ...mutation }) => {
      const mutated = await load(`mutated-${index}`, mutation);
      const { law, trace } = counterexampleOf(mutated, mutation.configuration);
      expect(law).toMatch(mutation.caught);
      expect(trace.length).toBeGreaterThan(0);
    },
    searchMsMax,
  );
});
