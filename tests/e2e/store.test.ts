/** A small form of `npm run mixed -- --only store`: with the embedded model, and with the fake engine. */
import { expect, it, vi } from "vitest";
import { addsUp, keptItsBudget, saysTheSame } from "../mixed/holds.js";
import { storeRun } from "../mixed/store-run.js";

vi.setConfig({ testTimeout: 900_000 });

const load = { atOnce: 16, killEveryMs: 5_000, seed: 3 };

it("10 requests over a small store say what they say alone, within the budget", async () => {
  const plan = { ...load, count: 10, maxBatch: 1, engine: "mlx", sharing: "own" } as const;
  const run = await storeRun(plan);
  addsUp(run, plan.count);
  keptItsBudget(run);
  saysTheSame(run);
  expect(run.counts.greedy.same).toBeGreaterThan(0);
});

it("200 of the fake engine, in a batch, shared by all", async () => {
  const plan = { ...load, count: 200, maxBatch: 8, engine: "fake", sharing: "all" } as const;
  const run = await storeRun({ ...plan, killEveryMs: 500 });
  addsUp(run, plan.count);
  keptItsBudget(run);
});
