/**
 * `npm run mixed`: so many requests of all kinds at a time through the embedded model, whose worker is killed again
 * and again. One run in the deterministic profile, where what was asked in quiet too says the same to the letter;
 * one with a batch, where what is kept to a schema is valid and the rest goes on as well as arithmetic in batches does.
 * Then both over a small prefix store and a small budget, half of the requests with one store for each key and half
 * with one for all.
 */
import { describe, expect, it, vi } from "vitest";
import { addsUp, cancelledInEveryPhase, keptItsBudget, saysTheSame } from "./holds.js";
import { mixedRun } from "./run.js";
import { storeRun } from "./store-run.js";

const numberOf = (name: string, otherwise: number) => Number(process.env[name] ?? otherwise);
const load = {
  count: numberOf("MIXED_REQUESTS", 1_000),
  atOnce: numberOf("MIXED_AT_ONCE", 64),
  killEveryMs: numberOf("MIXED_KILL_EVERY_S", 5) * 1_000,
  seed: numberOf("MIXED_SEED", 1),
  engine: process.env.MIXED_ENGINE === "fake" ? ("fake" as const) : ("mlx" as const),
};
const maxBatch = numberOf("MIXED_BATCH", 16);
const only = process.env.MIXED_ONLY ?? "";
const isOn = (part: string) => only === "" || only === part;

vi.setConfig({ testTimeout: 3 * 3_600_000, hookTimeout: 600_000 });

const title = `${load.count} requests, ${load.atOnce} at a time`;

describe.runIf(isOn("exact"))("in the deterministic profile", () => {
  it(`${title}: the same to the letter`, async () => {
    const run = await mixedRun({ ...load, maxBatch: 1 });
    addsUp(run, load.count);
    saysTheSame(run);
  });
});

describe.runIf(isOn("batch"))(`in a batch of ${maxBatch}`, () => {
  it(`${title}: valid, complete, counted`, async () => {
    addsUp(await mixedRun({ ...load, maxBatch }), load.count);
  });
});

/** Requests of which some are surely cancelled in each phase. */
const cancelledSurelyMin = 200;

describe.runIf(isOn("store"))("over a small prefix store", () => {
  const count = Math.ceil(load.count / 2);
  for (const rows of [1, maxBatch])
    for (const sharing of ["own", "all"] as const)
      it(`${count} requests, ${load.atOnce} at a time, rows: ${rows}, sharing: ${sharing}`, async () => {
        const run = await storeRun({ ...load, count, maxBatch: rows, sharing });
        addsUp(run, count);
        keptItsBudget(run);
        if (rows === 1) saysTheSame(run);
        expect(run.counts.greedy.same + run.counts.greedy.other).toBe(run.counts.greedy.right);
        if (count >= cancelledSurelyMin) cancelledInEveryPhase(run);
      });
});
