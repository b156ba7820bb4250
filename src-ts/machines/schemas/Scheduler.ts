/** What the Scheduler reads and what it decides. */
import { z } from "zod";
import type * as Machine from "../Scheduler.js";
import { budget, cost, resource } from "./Batch.js";
import { bytes, count, durationMs, exactly, id, instant, limits } from "./exactly.js";

export const priority = exactly<Machine.Priority>()(z.enum(["interactive", "normal", "batch"]));

export const prefix = exactly<Machine.Prefix>()(z.strictObject({ workerId: id, tokens: count }));

/** An instant, or no deadline at all. */
const deadline = z.union([instant, z.literal(Number.POSITIVE_INFINITY)]);

export const item = exactly<Machine.Item>()(
  z.strictObject({
    requestId: id,
    clientId: id,
    key: id,
    priority,
    arrivedAt: instant,
    deadlineAt: deadline,
    cost,
    alone: z.boolean(),
    begun: z.boolean(),
    prefixes: z.array(prefix).max(limits.workersMax),
  }),
);

export const running = exactly<Machine.Running>()(
  z.strictObject({
    requestId: id,
    priority,
    arrivedAt: instant,
    cost,
    preemptible: z.boolean(),
  }),
);

export const worker = exactly<Machine.Worker>()(
  z.strictObject({
    workerId: id,
    key: id,
    capacity: budget,
    free: budget,
    held: z.boolean(),
    preparing: z.boolean(),
    running: z.array(running).max(limits.membersMax),
  }),
);

export const share = exactly<Machine.Share>()(z.strictObject({ clientId: id, credit: z.number() }));

export const policy = exactly<Machine.Policy>()(
  z.strictObject({
    ageingMs: durationMs,
    quantumTokens: z.number().min(1),
    prefixMin: count,
    imbalanceMax: count,
    preempt: z.boolean(),
  }),
);

export const planInput = exactly<Machine.PlanInput>()(
  z.strictObject({
    queue: z.array(item).max(limits.queueDepthMax),
    workers: z.array(worker).max(limits.workersMax),
    shares: z.array(share).max(limits.queueDepthMax),
    now: instant,
    policy,
  }),
);

export const decision = exactly<Machine.Decision>()(
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("dispatch"), requestId: id, workerId: id }),
    z.strictObject({ kind: z.literal("preempt"), requestId: id, workerId: id, inFavourOf: id }),
    z.strictObject({
      kind: z.literal("refuse"),
      requestId: id,
      resource,
      needed: bytes,
      limit: bytes,
    }),
  ]),
);
