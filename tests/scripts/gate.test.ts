import { describe, expect, it } from "vitest";
import { environmentFor, loadsOf, pairs, partNames } from "../../scripts/lib/gate/plan.mjs";
import {
  formatGain,
  gainOf,
  isClear,
  judge,
  regressionsOf,
  tableOf,
} from "../../scripts/lib/gate/verdict.mjs";
import { nativeParts } from "../../src-ts/worker/figures.js";

const steady = (gain: number) => gainOf({ rounds: [1 + gain, 1 + gain, 1 + gain], better: "more" });

describe("a gain", () => {
  it("is how much more work is done in the same time", () => {
    expect(gainOf({ rounds: [1.5, 1.1, 1.2], better: "more" })).toMatchObject({
      min: expect.closeTo(0.1),
      median: expect.closeTo(0.2),
      max: expect.closeTo(0.5),
    });
    expect(gainOf({ rounds: [0.5, 0.8], better: "less" })).toMatchObject({
      min: expect.closeTo(0.25),
      median: expect.closeTo(0.625),
      max: expect.closeTo(1),
    });
  });

  it("is clear when most rounds agree", () => {
    expect(isClear(gainOf({ rounds: [1.1, 1.2, 1.1, 0.9], better: "more" }))).toBe(true);
    expect(isClear(gainOf({ rounds: [1.1, 1.2, 0.8, 0.9], better: "more" }))).toBe(false);
  });

  it("is a percentage, or a factor where it is large", () => {
    expect([0.034, -0.01, 1, 11.4].map(formatGain)).toEqual(["+3.4 %", "−1.0 %", "2.0 ×", "12 ×"]);
  });
});

describe("the verdict", () => {
  it.each([
    [0.04, "off"],
    [0.06, "reconsider"],
    [0.1, "hybrid"],
    [0.3, "native"],
  ])("of %s is %s", (gain, verdict) => {
    expect(judge([steady(0), steady(gain + 1e-9)])).toMatchObject({ verdict });
  });

  it("takes no noise for a gain, nor a loss", () => {
    const noise = gainOf({ rounds: [1.5, 1.3, 0.7, 0.6], better: "more" });
    expect(judge([noise, steady(-0.3)])).toEqual({ gain: 0, verdict: "off" });
  });

  it("stands in a table with every load", () => {
    const loads = [
      { title: "one", gain: steady(0.25) },
      { title: "two", gain: gainOf({ rounds: [0.9, 1.1], better: "more" }) },
    ];
    expect(tableOf([{ id: "pool", about: "buffers", loads }]).split("\n")).toEqual([
      "| part | one | two | verdict |",
      "| --- | --- | --- | --- |",
      "| pool: buffers | +25.0 % (+25.0 % to +25.0 %) | +0.0 % (−10.0 % to +10.0 %) ~ | +25.0 %: native |",
      "",
    ]);
  });
});

describe("the table", () => {
  it("leaves a cell empty where a pair has no such load", () => {
    const load = (title: string) => ({ title, gain: steady(0.25) });
    const rows = tableOf([
      { id: "pool", about: "buffers", loads: [load("one")] },
      { id: "attention", about: "tiles", loads: [load("one"), load("two")] },
    ]).split("\n");
    const cell = "+25.0 % (+25.0 % to +25.0 %)";
    expect(rows[0]).toBe("| part | one | two | verdict |");
    expect(rows[2]).toBe(`| pool: buffers | ${cell} |  | +25.0 %: native |`);
    expect(rows[3]).toBe(`| attention: tiles | ${cell} | ${cell} | +25.0 %: native |`);
  });
});

describe("a regression", () => {
  const stored = [
    { id: "products", gain: 20 },
    { id: "pool", gain: 0.01 },
  ];

  it("is a gain that has halved", () => {
    expect(regressionsOf([{ id: "products", gain: 9 }], stored)).toEqual([
      "products: the gain is 10 ×, it was 21 ×",
    ]);
    expect(regressionsOf([{ id: "products", gain: 11 }], stored)).toEqual([]);
  });

  it("is none of what was not worth it, or is new", () => {
    const results = [
      { id: "pool", gain: 0 },
      { id: "new", gain: 0 },
    ];
    expect(regressionsOf(results, stored)).toEqual([]);
  });
});

describe("the plan", () => {
  it("knows the parts that there are", () => {
    expect(partNames).toEqual([...nativeParts]);
  });

  it("compares every part with its absence", () => {
    for (const part of partNames) {
      const pair = pairs.find(({ id }) => id === part)!;
      expect(pair.on).toBe("all");
      expect(pair.off.split(",").sort()).toEqual(partNames.filter((id) => id !== part).sort());
    }
  });

  it("gives every pair the same kinds of load, and attention a long prompt too", () => {
    for (const pair of pairs) {
      const kinds = loadsOf(pair).map(({ id }) => id);
      const common = ["single", "streams-1", "streams-8", "streams-16"];
      expect(kinds).toEqual(pair.id === "attention" ? [...common, "long"] : common);
    }
  });

  it("sets exactly the parts", () => {
    expect(environmentFor("none")).toEqual({ MLX_SERVING_NATIVE: "off" });
    expect(environmentFor("pool,blas")).toMatchObject({ MLX_SERVING_NATIVE_PARTS: "pool,blas" });
  });
});
