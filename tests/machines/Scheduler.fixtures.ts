/** Queues and workers for the tests of the Scheduler, and for its documentation. */
import type { Cost } from "../../src-ts/machines/Batch.js";
import type {
  Decision,
  Item,
  PlanInput,
  Policy,
  Priority,
  Running,
  Worker,
} from "../../src-ts/machines/Scheduler.js";
import { defaultPolicy, plan } from "../../src-ts/machines/Scheduler.js";

export const now = 100_000;
export const policy: Policy = { ...defaultPolicy, ageingMs: 10_000, quantumTokens: 100 };

export const cost = (more: Partial<Cost> = {}): Cost => ({
  promptTokens: 60,
  newTokens: 40,
  kvBytes: 10,
  ...more,
});

export const item = (requestId: string, more: Partial<Item> = {}): Item => ({
  requestId,
  clientId: "c",
  key: "m",
  priority: "normal",
  arrivedAt: now,
  deadlineAt: Number.POSITIVE_INFINITY,
  cost: cost(),
  alone: false,
  begun: false,
  prefixes: [],
  ...more,
});

export const running = (
  requestId: string,
  priority: Priority = "batch",
  more: Partial<Running> = {},
): Running => ({
  requestId,
  priority,
  arrivedAt: now - 1_000,
  cost: cost(),
  preemptible: true,
  ...more,
});

/** A worker of four slots and 100 KV bytes, prompts of those who run all done. */
export const worker = (
  workerId: string,
  runs: readonly Running[] = [],
  more: Partial<Worker> = {},
): Worker => {
  const capacity = { members: 4, kvBytes: 100, prefillTokens: 200 };
  const held = runs.reduce((sum, { cost }) => sum + cost.kvBytes, 0);
  return {
    workerId,
    key: "m",
    capacity,
    free: { members: 4 - runs.length, kvBytes: 100 - held, prefillTokens: 200 },
    held: false,
    preparing: false,
    running: [...runs],
    ...more,
  };
};

export const full = (workerId: string, ...priorities: Priority[]): Worker =>
  worker(
    workerId,
    priorities.map((priority, index) =>
      running(`${workerId}${index}`, priority, { arrivedAt: now - 1_000 + index }),
    ),
  );

export const input = (
  queue: Item[],
  workers: Worker[],
  more: Partial<PlanInput> = {},
): PlanInput => ({
  queue,
  workers,
  shares: [],
  now,
  policy,
  ...more,
});

export const decide = (
  queue: Item[],
  workers: Worker[],
  more: Partial<PlanInput> = {},
): Decision[] => plan(input(queue, workers, more)).decisions;

/** Who was dispatched, in order, and where. */
export const placed = (decisions: Decision[]): string[] =>
  decisions.flatMap((decision) =>
    decision.kind === "dispatch" ? [`${decision.requestId}@${decision.workerId}`] : [],
  );
