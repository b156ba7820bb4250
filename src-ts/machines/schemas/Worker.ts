/** What may be said to a Worker, by whom, and what it may be in. */
import { z } from "zod";
import type * as Machine from "../Worker.js";
import { count, durationMs, exactly, instant, limits, ordinal } from "./exactly.js";

export const policy = exactly<Machine.Policy>()(
  z.strictObject({
    helloMs: durationMs,
    loadStallMs: durationMs,
    suspectMs: durationMs,
    stallMs: durationMs,
    stopGraceMs: durationMs,
    drainMs: durationMs,
    backoffMinMs: durationMs,
    backoffMaxMs: durationMs,
    probeMs: durationMs,
    windowMs: durationMs,
    deathsWithoutProgressMax: ordinal.max(limits.deathsMax),
    deathsMax: ordinal.max(limits.deathsMax),
  }),
);

const deaths = z.array(instant).max(limits.deathsMax);

export const memory = exactly<Machine.Memory>()(
  z.strictObject({ policy, epoch: count, deaths, deathsWithoutProgress: deaths }),
);

export const liveness = exactly<Machine.Liveness>()(
  z.strictObject({
    pid: count,
    progressed: z.boolean(),
    pending: count,
    preparing: count,
    quietSince: instant,
    allowanceMs: durationMs,
  }),
);

export const timer = exactly<Machine.Timer>()(
  z.enum(["hello", "load", "watchdog", "stop", "drain", "backoff", "probe"]),
);

export const intent = exactly<Machine.Intent>()(z.enum(["stop", "restart"]));

export const fault = exactly<Machine.Fault>()(
  z.enum([
    "exited",
    "linkClosed",
    "linkViolated",
    "stalled",
    "helloTimeout",
    "loadStalled",
    "loadFailed",
    "protocolMismatch",
    "outOfMemory",
    "stopped",
  ]),
);

export const state = exactly<Machine.State>()(
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("stopped"), memory }),
    z.strictObject({ kind: z.literal("starting"), memory, pid: count }),
    z.strictObject({
      kind: z.literal("loading"),
      memory,
      pid: count,
      done: z.number(),
      total: z.number(),
    }),
    z.strictObject({ kind: z.literal("ready"), memory, liveness }),
    z.strictObject({ kind: z.literal("suspect"), memory, liveness, since: instant }),
    z.strictObject({ kind: z.literal("draining"), memory, liveness, intent }),
    z.strictObject({
      kind: z.literal("stopping"),
      memory,
      pid: count,
      intent,
      fault,
      progressed: z.boolean(),
      excused: z.boolean(),
    }),
    z.strictObject({ kind: z.literal("backoff"), memory, attempt: count, until: instant }),
    z.strictObject({ kind: z.literal("broken"), memory, reason: fault, since: instant }),
  ]),
);

export const supervisorEvent = exactly<Machine.SupervisorEvent>()(
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("start") }),
    z.strictObject({ kind: z.literal("drain"), intent }),
    z.strictObject({ kind: z.literal("stop") }),
    z.strictObject({ kind: z.literal("restart") }),
  ]),
);

export const processEvent = exactly<Machine.ProcessEvent>()(
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("spawned"), epoch: ordinal, pid: ordinal }),
    z.strictObject({
      kind: z.literal("exited"),
      epoch: ordinal,
      code: z.int32(),
      signal: z.string().max(limits.signalCharsMax),
      at: instant,
      jitter: z.number().min(0).max(1),
    }),
  ]),
);

export const workerEvent = exactly<Machine.WorkerEvent>()(
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("hello"), epoch: ordinal, protocol: z.int32() }),
    z.strictObject({
      kind: z.literal("loadProgress"),
      epoch: ordinal,
      done: z.number().min(0),
      total: z.number().min(0),
    }),
    z.strictObject({ kind: z.literal("loaded"), epoch: ordinal, at: instant }),
    z.strictObject({ kind: z.literal("loadFailed"), epoch: ordinal }),
    z.strictObject({ kind: z.literal("outOfMemory"), epoch: ordinal }),
    z.strictObject({ kind: z.literal("progressed"), epoch: ordinal, at: instant }),
    z.strictObject({
      kind: z.literal("busy"),
      epoch: ordinal,
      allowanceMs: durationMs.max(limits.allowanceMsMax),
      at: instant,
    }),
  ]),
);

export const linkEvent = exactly<Machine.LinkEvent>()(
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("violated"), epoch: ordinal }),
    z.strictObject({ kind: z.literal("closed"), epoch: ordinal }),
  ]),
);

export const pendingEvent = exactly<Machine.PendingEvent>()(
  z.discriminatedUnion("kind", [
    z.strictObject({
      kind: z.literal("pending"),
      epoch: ordinal,
      count,
      preparing: count,
      at: instant,
    }),
  ]),
);

export const clockEvent = exactly<Machine.ClockEvent>()(
  z.discriminatedUnion("kind", [z.strictObject({ kind: z.literal("timer"), timer, at: instant })]),
);

export const event = exactly<Machine.Event>()(
  z.discriminatedUnion("kind", [
    supervisorEvent,
    processEvent,
    workerEvent,
    linkEvent,
    pendingEvent,
    clockEvent,
  ]),
);
