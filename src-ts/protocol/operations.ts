/** What probes and /admin answer. */
import { z } from "zod";

export const Health = z.strictObject({ status: z.literal("ok") });
export const Ready = z.strictObject({ status: z.literal("ready") });
export const Draining = z.strictObject({ draining: z.literal(true) });
export const Restarting = z.strictObject({ id: z.string(), restarting: z.literal(true) });

const NativeMetrics = z.object({
  totalRequests: z.number(),
  completedRequests: z.number(),
  failedRequests: z.number(),
  averageLatencyMs: z.number(),
  p50LatencyMs: z.number(),
  p95LatencyMs: z.number(),
  p99LatencyMs: z.number(),
  throughputRps: z.number(),
});

const NativePart = z.object({
  on: z.boolean(),
  /** Why it is off; null when it is on. */
  reason: z.string().nullable(),
  applicable: z.boolean(),
  missing: z.boolean(),
});

const NativePool = z.object({
  poolSize: z.number(),
  available: z.number(),
  totalAcquired: z.number(),
  totalReleased: z.number(),
  cacheHits: z.number(),
  cacheMisses: z.number(),
});

/** For operators: fields may be added, so it is not closed as the API's objects are. */
export const WorkerStatus = z.object({
  id: z.string(),
  model: z.string(),
  /** The worker machine's state. */
  state: z.string(),
  epoch: z.int(),
  pid: z.int().optional(),
  restarts: z.int(),
  running: z.int(),
  prefilling: z.int(),
  decoding: z.int(),
  cancelling: z.int(),
  queued: z.int(),
  preparing: z.int(),
  storing: z.int(),
  backend: z.string().optional(),
  versions: z.record(z.string(), z.string()),
  limits: z
    .object({
      contextMax: z.number(),
      kvBudgetBytes: z.number(),
      /** Of one request with no other beside it, to which the prefix cache gives way. */
      kvAloneBytes: z.number(),
      kvBytesPerToken: z.number(),
      /** Of each element of keys and values; 0: they are kept as they are computed. */
      kvBits: z.literal([0, 4, 8]),
      weightsBytes: z.number(),
    })
    .optional(),
  loading: z.object({ done: z.number(), total: z.number(), what: z.string() }).optional(),
  /** Why it is not ready, if it isn't. */
  reason: z.string().optional(),
  telemetry: z.record(z.string(), z.unknown()).optional(),
  native: z
    .object({
      parts: z.record(z.string(), NativePart),
      metrics: NativeMetrics.nullable(),
      pool: NativePool.nullable(),
    })
    .nullable(),
});
export type WorkerStatus = z.infer<typeof WorkerStatus>;

export const WorkerList = z.array(WorkerStatus);
