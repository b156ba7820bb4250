/** What may be said to a Batch, by whom, and what it may be in. */
import { z } from "zod";
import type * as Machine from "../Batch.js";
import { bytes, count, durationMs, exactly, id, instant, limits } from "./exactly.js";

export const cost = exactly<Machine.Cost>()(
  z.strictObject({ promptTokens: count, newTokens: count, kvBytes: bytes }),
);

export const budget = exactly<Machine.Budget>()(
  z.strictObject({ members: count, kvBytes: bytes, prefillTokens: count }),
);

export const terms = exactly<Machine.Terms>()(
  z.strictObject({ key: id, budget, windowMs: durationMs }),
);

export const member = exactly<Machine.Member>()(
  z.strictObject({ requestId: id, cost, exclusive: z.boolean(), prefilled: z.boolean() }),
);

export const drainCause = exactly<Machine.DrainCause>()(z.enum(["shutdown", "restart", "unload"]));

export const resource = exactly<Machine.Resource>()(z.enum(["kvBytes", "prefillTokens"]));

const members = z.array(member).max(limits.membersMax);

export const state = exactly<Machine.State>()(
  z.discriminatedUnion("kind", [
    z.strictObject({
      kind: z.literal("forming"),
      terms,
      running: members,
      joining: members,
      since: instant,
    }),
    z.strictObject({ kind: z.literal("running"), terms, members }),
    z.strictObject({ kind: z.literal("draining"), terms, members, cause: drainCause }),
    z.strictObject({ kind: z.literal("closed") }),
  ]),
);

export const schedulerEvent = exactly<Machine.SchedulerEvent>()(
  z.discriminatedUnion("kind", [
    z.strictObject({
      kind: z.literal("join"),
      requestId: id,
      cost,
      key: id,
      exclusive: z.boolean(),
      at: instant,
    }),
  ]),
);

export const clockEvent = exactly<Machine.ClockEvent>()(
  z.discriminatedUnion("kind", [z.strictObject({ kind: z.literal("windowElapsed") })]),
);

export const requestEvent = exactly<Machine.RequestEvent>()(
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("prefilled"), requestId: id }),
    z.strictObject({ kind: z.literal("leave"), requestId: id }),
  ]),
);

export const workerEvent = exactly<Machine.WorkerEvent>()(
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("drain"), cause: drainCause }),
    z.strictObject({ kind: z.literal("workerLost") }),
  ]),
);

export const event = exactly<Machine.Event>()(
  z.discriminatedUnion("kind", [schedulerEvent, clockEvent, requestEvent, workerEvent]),
);
