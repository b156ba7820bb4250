/** GET /admin/events and GET /debug/requests/{id}: what operators see of running requests. Never content. */
import { z } from "zod";
import { ErrorBody } from "./errors.js";
import { WorkerStatus } from "./operations.js";

export const RequestRow = z.object({
  id: z.string(),
  model: z.string(),
  /** The request machine's state. */
  state: z.enum(["preparing", "storing", "queued", "prefilling", "decoding", "cancelling", "done"]),
  workerId: z.string().optional(),
  priority: z.string(),
  /** Unix milliseconds. */
  arrivedAtMs: z.number(),
  promptTokens: z.int().optional(),
  maxTokens: z.int().optional(),
  cachedTokens: z.int(),
  /** While prefilling: positions of the prompt that are computed. */
  prefill: z.object({ done: z.int(), total: z.int() }).optional(),
  emitted: z.int(),
  /** How often a worker was given it; each but the first is a migration. */
  attempts: z.int(),
  ttftMs: z.number().optional(),
});
export type RequestRow = z.infer<typeof RequestRow>;

export const Transition = z.object({
  event: z.enum([
    "arrived",
    "preparing",
    "prepared",
    "storing",
    "accepted",
    "queued",
    "dispatched",
    "prefilling",
    "decoding",
    "cancelling",
    "migrated",
    "interrupted",
    "ended",
    "turnedAway",
  ]),
  /** Milliseconds since it arrived. */
  afterMs: z.number(),
  workerId: z.string().optional(),
  promptTokens: z.int().optional(),
  cachedTokens: z.int().optional(),
  attempt: z.int().optional(),
  reason: z.string().optional(),
  finish: z.string().optional(),
  code: z.string().optional(),
});
export type Transition = z.infer<typeof Transition>;

export const Timeline = z.object({
  id: z.string(),
  model: z.string(),
  priority: z.string(),
  /** Unix milliseconds. */
  arrivedAtMs: z.number(),
  live: z.boolean(),
  /** Tokens so far. */
  emitted: z.int(),
  /** Transitions before the last one that were not kept: of one request 64 are. */
  omitted: z.int(),
  transitions: z.array(Transition),
});
export type Timeline = z.infer<typeof Timeline>;

export const BatchRow = z.object({
  workerId: z.string(),
  state: z.string(),
  members: z.int(),
  membersMax: z.int(),
  kvBytes: z.number(),
  kvBytesMax: z.number(),
});
export type BatchRow = z.infer<typeof BatchRow>;

/** Of three seconds. Null: nothing happened that could be measured. */
export const Sample = z.object({
  /** Unix milliseconds. */
  atMs: z.number(),
  tokensPerS: z.number(),
  ttftMeanMs: z.number().nullable(),
  ttftP95Ms: z.number().nullable(),
  interTokenMeanMs: z.number().nullable(),
  interTokenP95Ms: z.number().nullable(),
  running: z.int(),
  waiting: z.int(),
  /** 0 to 1; null until a worker has told its budget. */
  kvUse: z.number().nullable(),
  prefixBytes: z.number(),
  /** Of the prompts that have ended, 0 to 1. */
  prefixHitRate: z.number().nullable(),
});
export type Sample = z.infer<typeof Sample>;

export const ServedModel = z.object({
  id: z.string(),
  isDefault: z.boolean(),
  ready: z.boolean(),
  contextMax: z.number().optional(),
});
export type ServedModel = z.infer<typeof ServedModel>;

export const Snapshot = z.object({
  type: z.literal("snapshot"),
  /** Unix milliseconds, by the server's clock. */
  atMs: z.number(),
  draining: z.boolean(),
  ready: z.boolean(),
  /** Why it is not ready. */
  reason: z.string().optional(),
  models: z.array(ServedModel),
  workers: z.array(WorkerStatus),
  batches: z.array(BatchRow),
  /** At most 200, those first that a worker holds. */
  requests: z.array(RequestRow),
  requestCount: z.int(),
  /** At most 40, those first that ended last. */
  ended: z.array(Timeline),
});
export type Snapshot = z.infer<typeof Snapshot>;

/** The `data:` of `GET /admin/events`, by its `type`. */
export const LiveEvent = z.discriminatedUnion("type", [
  z.object({ type: z.literal("history"), periodMs: z.int(), samples: z.array(Sample) }),
  z.object({ type: z.literal("sample"), sample: Sample }),
  Snapshot,
  /** The last one: whoever follows may no longer, by its session, its key, or what the key may do. */
  z.object({ type: z.literal("ended"), error: ErrorBody }),
]);
export type LiveEvent = z.infer<typeof LiveEvent>;

export const Cancelling = z.object({ id: z.string(), cancelling: z.literal(true) });
export const Killed = z.object({ id: z.string(), killed: z.literal(true) });
