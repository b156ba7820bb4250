/**
 * `npm run mixed`: so many requests of all kinds at a time through the embedded model, whose worker is killed again
 * and again. One run in the deterministic profile, where what was asked in quiet too says the same to the letter;
 * one with a batch, where what is kept to a schema is valid and the rest goes on as well as arithmetic in batches does.
 */
import { describe, expect, it, vi } from "vitest";
import { mixedRun } from "./run.js";

const numberOf = (name: string, otherwise: number) => Number(process.env[name] ?? otherwise);
const load = {
  count: numberOf("MIXED_REQUESTS", 1_000),
  atOnce: numberOf("MIXED_AT_ONCE", 64),
  killEveryMs: numberOf("MIXED_KILL_EVERY_S", 5) * 1_000,
  seed: numberOf("MIXED_SEED", 1),
  engine: process.env.MIXED_ENGINE === "fake" ? ("fake" as const) : ("mlx" as const),
};
const maxBatch = numberOf("MIXED_BATCH", 16);
const only = process.env.MIXED_ONLY;

vi.setConfig({ testTimeout: 3 * 3_600_000, hookTimeout: 600_000 });

type Run = Awaited<ReturnType<typeof mixedRun>>;

/** Nothing failed, nothing is lost, and the server counts what its clients have seen. */
function addsUp({ counts, failures, ended, kills, restarts, metrics }: Run): void {
  expect(failures).toEqual([]);
  expect(kills).toBeGreaterThan(0);
  const sum = (of: Record<string, number>) => Object.values(of).reduce((a, b) => a + b, 0);
  const lost = metrics("workers_lost_total");
  expect(restarts).toBe(sum(lost));
  // On a machine that is busy with other things the watchdog finds some stalled: these are no deaths of ours.
  const stalled = Object.entries(lost).filter(([labels]) => labels.includes('"stalled"'));
  expect(restarts - sum(Object.fromEntries(stalled))).toBe(kills);
  const answered = Object.values(counts).map(({ right, cut, gone }) => right + cut + gone);
  expect(answered.reduce((a, b) => a + b)).toBe(load.count);
  const illegal = Object.keys(metrics("machine_rejections_total")).filter((labels) =>
    labels.includes("illegal"),
  );
  expect(illegal).toEqual([]);

  const finished = metrics("request_success_total");
  const byServer = (reason: string) =>
    sum(
      Object.fromEntries(
        Object.entries(finished).filter(([labels]) =>
          labels.includes(`finished_reason="${reason}"`),
        ),
      ),
    );
  expect(byServer("failed") + byServer("expired")).toBe(0);
  expect(byServer("toolCalls")).toBe(ended.tool_calls ?? 0);
  // One that was left was cancelled, was not accepted yet, or had said its last word already.
  const { gone } = counts.cancelled;
  expect(byServer("cancelled")).toBeLessThanOrEqual(gone);
  const heard = (ended.stop ?? 0) + (ended.length ?? 0);
  const said = byServer("stop") + byServer("length");
  expect(said).toBeGreaterThanOrEqual(heard);
  expect(said + byServer("cancelled")).toBeLessThanOrEqual(heard + gone);
}

const title = `${load.count} requests, ${load.atOnce} at a time`;

describe.runIf(only !== "batch")("in the deterministic profile", () => {
  it(`${title}: the same to the letter`, async () => {
    const run = await mixedRun({ ...load, maxBatch: 1 });
    addsUp(run);
    for (const [kind, { other }] of Object.entries(run.counts)) expect(other, kind).toBe(0);
  });
});

describe.runIf(only !== "exact")(`in a batch of ${maxBatch}`, () => {
  it(`${title}: valid, complete, counted`, async () => {
    addsUp(await mixedRun({ ...load, maxBatch }));
  });
});
