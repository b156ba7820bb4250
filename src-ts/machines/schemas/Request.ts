/** What may be said to a Request, by whom, and what it may be in. */
import { z } from "zod";
import type * as Machine from "../Request.js";
import { count, exactly, id, ordinal } from "./exactly.js";

export const lease = exactly<Machine.Lease>()(z.strictObject({ workerId: id, epoch: ordinal }));

export const tally = exactly<Machine.Tally>()(
  z.strictObject({
    promptTokens: ordinal,
    emitted: count,
    highWater: count,
    retriesWithoutProgress: count,
    doubts: count,
    alone: z.boolean(),
  }),
);

export const failure = exactly<Machine.Failure>()(
  z.enum([
    "worker_crashed",
    "out_of_memory",
    "generation_error",
    "server_shutdown",
    "invalid_prompt",
    "invalid_request",
    "request_too_large",
    "context_length_exceeded",
    "memory_budget_exceeded",
    "storage_unavailable",
    "model_unavailable",
  ]),
);

export const finish = exactly<Machine.Finish>()(
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("stop") }),
    z.strictObject({ kind: z.literal("length") }),
    z.strictObject({ kind: z.literal("toolCalls") }),
    z.strictObject({ kind: z.literal("cancelled") }),
    z.strictObject({ kind: z.literal("expired") }),
    z.strictObject({ kind: z.literal("failed"), code: failure }),
  ]),
);

export const cause = exactly<Machine.Cause>()(
  z.enum(["cancelled", "expired", "shutdown", "preempted"]),
);

export const loss = exactly<Machine.Loss>()(
  z.enum(["exited", "linkClosed", "linkViolated", "stalled", "outOfMemory", "stopped"]),
);

const leased = { lease, tally, highWaterAtStart: count };

export const state = exactly<Machine.State>()(
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("preparing"), deaths: count, stored: z.boolean() }),
    z.strictObject({ kind: z.literal("storing"), promptTokens: ordinal }),
    z.strictObject({ kind: z.literal("queued"), epoch: count, tally }),
    z.strictObject({ kind: z.literal("prefilling"), ...leased, done: count, total: ordinal }),
    z.strictObject({ kind: z.literal("decoding"), ...leased }),
    z.strictObject({ kind: z.literal("cancelling"), ...leased, cause }),
    z.strictObject({ kind: z.literal("done"), finish, emitted: count }),
  ]),
);

export const tokenizerEvent = exactly<Machine.TokenizerEvent>()(
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("prepared"), promptTokens: ordinal }),
    z.strictObject({ kind: z.literal("unpreparable"), code: failure }),
    z.strictObject({ kind: z.literal("preparerLost"), loss }),
  ]),
);

export const storeEvent = exactly<Machine.StoreEvent>()(
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("restored"), promptTokens: ordinal, emitted: count }),
    z.strictObject({ kind: z.literal("stored") }),
    z.strictObject({ kind: z.literal("unstorable") }),
  ]),
);

export const clientEvent = exactly<Machine.ClientEvent>()(
  z.discriminatedUnion("kind", [z.strictObject({ kind: z.literal("cancel") })]),
);

export const schedulerEvent = exactly<Machine.SchedulerEvent>()(
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("dispatch"), workerId: id }),
    z.strictObject({ kind: z.literal("preempt") }),
    z.strictObject({ kind: z.literal("unplaceable"), code: failure }),
  ]),
);

export const clockEvent = exactly<Machine.ClockEvent>()(
  z.discriminatedUnion("kind", [z.strictObject({ kind: z.literal("deadline") })]),
);

export const serverEvent = exactly<Machine.ServerEvent>()(
  z.discriminatedUnion("kind", [z.strictObject({ kind: z.literal("shutdown") })]),
);

export const workerEvent = exactly<Machine.WorkerEvent>()(
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("progress"), lease, done: count, total: ordinal }),
    z.strictObject({ kind: z.literal("tokens"), lease, index: count, count: ordinal }),
    z.strictObject({ kind: z.literal("ended"), lease, finish }),
    z.strictObject({ kind: z.literal("aborted"), lease }),
    z.strictObject({ kind: z.literal("lost"), lease, loss, beside: z.boolean() }),
    z.strictObject({ kind: z.literal("refused"), lease, code: failure }),
  ]),
);

export const event = exactly<Machine.Event>()(
  z.discriminatedUnion("kind", [
    tokenizerEvent,
    storeEvent,
    clientEvent,
    schedulerEvent,
    clockEvent,
    serverEvent,
    workerEvent,
  ]),
);
