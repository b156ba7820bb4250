/** What charts are drawn from, and the words that stand for them. */
import { expect, it } from "vitest";
import {
  charts,
  columnsOf,
  isBlank,
  isLone,
  latestText,
} from "../../../../src-ts/console/live/charts.js";
import type { Sample } from "../../../../src-ts/protocol/live.js";

const sample = (rest: Partial<Sample>): Sample => ({
  ...{ atMs: 2_000, tokensPerS: 120.4, ttftMeanMs: null, ttftP95Ms: null },
  ...{ interTokenMeanMs: 16, interTokenP95Ms: 24, running: 3, waiting: 1 },
  ...{ kvUse: 0.25, prefixBytes: 0, prefixHitRate: null, ...rest },
});
const spec = (id: string) => charts.find((one) => one.id === id)!;

it("columns are seconds and a list a series, with gaps where nothing was measured", () => {
  const samples = [sample({}), sample({ atMs: 5_000, ttftMeanMs: 80, ttftP95Ms: 90 })];
  expect(columnsOf(spec("ttft"), samples)).toEqual([
    [2, 5],
    [null, 80],
    [null, 90],
  ]);
  expect(columnsOf(spec("kv"), samples)).toEqual([
    [2, 5],
    [25, 25],
  ]);
});

it("the newest values are told in words", () => {
  expect(latestText(spec("speed"), [sample({})])).toBe("120.4 tokens/s");
  expect(latestText(spec("interToken"), [sample({})])).toBe("16 ms mean · 24 ms p95");
  expect(latestText(spec("ttft"), [sample({})])).toBe("no requests");
  expect(latestText(spec("speed"), [])).toBe("no requests");
});

it("one value is a point, and none are words", () => {
  expect(isLone([null, 4, undefined])).toBe(true);
  expect(isLone([3, null, 4])).toBe(false);
  expect(isLone([])).toBe(false);
  expect(isBlank(spec("ttft"), [sample({}), sample({})])).toBe(true);
  expect(isBlank(spec("ttft"), [sample({ ttftP95Ms: 4 })])).toBe(false);
  expect(isBlank(spec("speed"), [])).toBe(true);
});
