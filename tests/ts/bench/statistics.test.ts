import { describe, expect, it } from "vitest";
import {
  addedLatency,
  addedMs,
  behindScheduleMs,
  fakePieces,
} from "../../../src-ts/bench/added-latency.js";
import { compare } from "../../../src-ts/bench/comparison.js";
import { distribution, percentile, summarize } from "../../../src-ts/bench/statistics.js";
import type { RequestRecord } from "../../../src-ts/bench/target.js";

function record(fields: Partial<RequestRecord>): RequestRecord {
  return {
    startedAt: 0,
    endedAt: 100,
    arrivals: [],
    texts: undefined,
    usage: undefined,
    failure: undefined,
    ...fields,
  };
}

const usage = (completionTokens: number) => ({
  promptTokens: 10,
  cachedTokens: 4,
  completionTokens,
});

describe("distribution", () => {
  it("takes percentiles by nearest rank", () => {
    const samples = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect(distribution(samples)).toEqual({
      count: 100,
      min: 1,
      mean: 50.5,
      p50: 50,
      p95: 95,
      p99: 99,
      max: 100,
    });
  });

  it("is the sample itself for one, and nothing for none", () => {
    expect(distribution([7])).toMatchObject({ min: 7, p50: 7, p99: 7, max: 7 });
    expect(distribution([])).toBeNull();
    expect(percentile([1, 2], 0.5)).toBe(1);
  });
});

describe("summarize", () => {
  const records = [
    record({ startedAt: 0, arrivals: [10, 30, 40], endedAt: 50, usage: usage(3) }),
    record({ startedAt: 100, arrivals: [120], endedAt: 300, usage: usage(1) }),
    record({ startedAt: 0, arrivals: [1, 2], endedAt: 3, failure: "http_429", usage: usage(99) }),
    record({ startedAt: 0, arrivals: [5], endedAt: 60 }),
    record({ startedAt: 0, endedAt: 1, failure: "http_429" }),
  ];
  const summary = summarize(records, 2000);

  it("counts tokens of successful requests alone, from usage", () => {
    expect(summary).toMatchObject({
      requests: 5,
      succeeded: 3,
      failures: { http_429: 2 },
      completionTokens: 4,
      tokensPerSecond: 2,
      requestsPerSecond: 1.5,
      withoutUsage: 1,
      promptTokens: 10,
      cachedTokens: 4,
    });
  });

  it("takes times of successful requests alone", () => {
    expect(summary.ttftMs).toMatchObject({ count: 3, min: 5, p50: 10, max: 20 });
    expect(summary.interTokenMs).toMatchObject({ count: 2, min: 10, max: 20 });
    expect(summary.perTokenMs).toMatchObject({ count: 1, p50: 15 });
    expect(summary.endToEndMs).toMatchObject({ count: 3, min: 50, max: 200 });
  });

  it("has no figures without records", () => {
    expect(summarize([], 0)).toMatchObject({ tokensPerSecond: 0, ttftMs: null, failures: {} });
  });
});

describe("fakePieces", () => {
  it("counts words and marks as one token, other characters by their bytes", () => {
    expect(fakePieces(" the of, and.🌊 it")).toEqual([1, 1, 1, 1, 1, 4, 1]);
    expect(fakePieces("")).toEqual([]);
  });
});

describe("added latency", () => {
  const events = (...times: number[]) => times.map((at) => ({ at, pieces: [1] }));

  it("is nothing on schedule, and the delay behind it otherwise", () => {
    for (const figure of [addedMs, behindScheduleMs]) {
      expect(figure(events(50, 60, 70, 80), 100)).toEqual([0, 0, 0, 0]);
      expect(figure(events(50, 65, 70, 80), 100)).toEqual([0, 5, 0, 0]);
      expect(figure([], 100)).toEqual([]);
    }
  });

  it("is measured from the least late token of a stream, if the first was late", () => {
    expect(addedMs(events(57, 60, 70), 100)).toEqual([7, 0, 0]);
    expect(behindScheduleMs(events(57, 60, 70), 100)).toEqual([7, 0, 0]);
  });

  it("leaves out what the engine lost, which all later tokens share", () => {
    expect(behindScheduleMs(events(50, 60, 100, 115, 120), 100)).toEqual([0, 0, 30, 35, 30]);
    expect(addedMs(events(50, 60, 100, 115, 120), 100)).toEqual([0, 0, 0, 5, 0]);
  });

  it("counts the tokens of an event: joined ones came late, a long character came at its last", () => {
    const joined = [
      { at: 50, pieces: [1] },
      { at: 70, pieces: [1, 1] },
    ];
    expect(addedMs(joined, 100)).toEqual([0, 10, 0]);
    const long = [
      { at: 50, pieces: [1] },
      { at: 90, pieces: [4] },
    ];
    expect(addedMs(long, 100)).toEqual([0, 0]);
  });

  it("leaves out streams that are no whole text of the fake engine", () => {
    const records = [
      record({ arrivals: [0, 10, 25], texts: [" a", " b", " c"], usage: usage(3) }),
      record({ arrivals: [0, 10], texts: [" a", " b"], usage: usage(3) }),
      record({ arrivals: [0, 500], texts: [" a", " b"], usage: usage(2), failure: "timeout" }),
    ];
    expect(addedLatency(records, 100)).toMatchObject({
      streamsLeftOut: 1,
      addedMs: { count: 3, max: 0 },
      behindScheduleMs: { count: 3, max: 5 },
    });
  });
});

describe("compare", () => {
  const round = (tokens: number, first: number) =>
    summarize([record({ arrivals: [first], usage: usage(tokens) })], 1000);

  it("gives ratios round by round with their spread", () => {
    const ratios = compare(
      [round(10, 2), round(30, 2), round(20, 3)],
      [round(10, 4), round(10, 4), round(10, 4)],
    );
    const named = new Map(ratios.map((ratio) => [ratio.name, ratio]));
    expect(named.get("tokens/s")).toMatchObject({
      better: "more",
      rounds: [1, 3, 2],
      min: 1,
      median: 2,
      max: 3,
    });
    expect(named.get("TTFT p50")).toMatchObject({ better: "less", rounds: [0.5, 0.5, 0.75] });
  });

  it("leaves out what one side has no figure for", () => {
    const names = compare([round(10, 2)], [round(10, 4)]).map(({ name }) => name);
    expect(names).not.toContain("inter-token p50");
    expect(compare([round(10, 2)], [])).toEqual([]);
  });
});
