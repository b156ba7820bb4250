/** Fifteen minutes of figures, read off what is counted anyway. */
import { describe, expect, it, vi } from "vitest";
import type { EngineObserver, WorkerInfo } from "../../../../src-ts/engine/api.js";
import type { Sample } from "../../../../src-ts/protocol/live.js";
import type { Totals } from "../../../../src-ts/server/operations/histogram.js";
import { History, percentileMs } from "../../../../src-ts/server/operations/history.js";

const totals = (counts: number[], sum = 0, count = counts.reduce((a, b) => a + b, 0)): Totals => ({
  ...{ bounds: [0.01, 0.02, 0.04], counts: Float64Array.from(counts), sum, count },
});
const none = totals([0, 0, 0]);

describe("a percentile", () => {
  it("lies within its bucket, and past the last bound is that bound", () => {
    expect(percentileMs(none, totals([10, 10, 0]), 0.5)).toBe(10);
    expect(percentileMs(none, totals([10, 10, 0]), 0.75)).toBe(15);
    expect(percentileMs(totals([10, 0, 0]), totals([10, 0, 4]), 0.5)).toBe(30);
    expect(percentileMs(none, totals([0, 0, 0], 0, 5), 0.95)).toBe(40);
    expect(percentileMs(none, none, 0.5)).toBeNull();
  });
});

it("samples what has come since the one before, and forgets what is too old", () => {
  vi.useFakeTimers();
  let now = 0;
  let latencies = { ttft: none, interToken: none };
  let observer: EngineObserver = {};
  const workers = [
    {
      model: "m",
      running: 2,
      queued: 3,
      preparing: 1,
      storing: 0,
      telemetry: { kvBytes: 25 },
      limits: { kvBudgetBytes: 100 },
    },
    {
      model: "m",
      running: 1,
      queued: 3,
      preparing: 1,
      storing: 0,
      telemetry: undefined,
      limits: undefined,
    },
  ] as unknown as WorkerInfo[];
  const told: Sample[] = [];
  const history = new History(
    {
      workers: () => workers,
      observe: (given) => {
        observer = given;
        return () => {};
      },
    },
    { latencies: () => latencies, now: () => now, wall: () => 1_000 + now },
    (sample) => told.push(sample),
  );
  latencies = { ttft: totals([0, 2, 0], 0.03), interToken: totals([58, 0, 0], 0.29) };
  observer.ended?.(undefined as never, { usage: { promptTokens: 40, cachedTokens: 30 } } as never);
  now = 3_000;
  history.take();
  expect(told[0]).toEqual({
    ...{ atMs: 4_000, tokensPerS: 20, ttftMeanMs: 15, ttftP95Ms: 19.5 },
    ...{ interTokenMeanMs: 5, interTokenP95Ms: 9.5, running: 3, waiting: 4 },
    ...{ kvUse: 0.25, prefixBytes: 0, prefixHitRate: 0.75 },
  });
  now = 6_000;
  history.take();
  expect(told[1]).toMatchObject({ tokensPerS: 0, ttftMeanMs: null, prefixHitRate: null });
  for (let i = 0; i < 400; i++) history.take();
  expect(history.samples).toHaveLength(300);
  history.close();
  vi.useRealTimers();
});
