/** What a worker says of its native parts, and the figures of its telemetry; `messages.ts` has them in its messages. */
import { z } from "zod";

const finite = z.number();
const count = z.int().min(0);

/**
 * What native code can do for a worker, each by itself. Of krserve_native: frames are built in pooled buffers, and
 * the collector; OpenBLAS under MLX; of krserve_mlx_ops: quantized products and embedding, norms and whole blocks,
 * attention of a prompt's chunk, from logits to tokens; and kernels of a GPU.
 */
export const NativePart = z.enum([
  "pool",
  "metrics",
  "blas",
  "products",
  "blocks",
  "attention",
  "sampling",
  "kernels",
]);
export type NativePart = z.infer<typeof NativePart>;
export const nativeParts = NativePart.options;

/**
 * `reason`: why it is off, one line. `applicable`: false where it could be of no use. `missing`: it was
 * to be used, and can't.
 */
export const NativePartStatus = z.object({
  on: z.boolean(),
  reason: z.string().nullable(),
  applicable: z.boolean(),
  missing: z.boolean(),
});
export type NativePartStatus = z.infer<typeof NativePartStatus>;

/** Of the parts that this engine could use; the fake one has no mathematics. */
export const NativeParts = z.partialRecord(NativePart, NativePartStatus);
export type NativeParts = z.infer<typeof NativeParts>;

/** Of a worker's requests since it was started. */
export const NativeMetrics = z.object({
  totalRequests: count,
  completedRequests: count,
  failedRequests: count,
  averageLatencyMs: finite,
  p50LatencyMs: finite,
  p95LatencyMs: finite,
  p99LatencyMs: finite,
  throughputRps: finite,
});
export type NativeMetrics = z.infer<typeof NativeMetrics>;

/** Of the buffers in which frames are built. */
export const NativePool = z.object({
  poolSize: count,
  available: count,
  totalAcquired: count,
  totalReleased: count,
  cacheHits: count,
  cacheMisses: count,
});
export type NativePool = z.infer<typeof NativePool>;

export const NativeModule = z.object({
  on: z.boolean(),
  version: z.string().nullable(),
  reason: z.string().nullable(),
});

/** `module`: krserve_native, or its absence. `metrics` come either way; `pool` is null when there is none. */
export const NativeFigures = z.object({
  module: NativeModule,
  metrics: NativeMetrics,
  pool: NativePool.nullable(),
});
export type NativeFigures = z.infer<typeof NativeFigures>;

/**
 * Of a worker's answers that are kept to something, since it was started. Masks count when their request has ended.
 * `compileTimes`: bounds in ms, rising, each with how many took at most so long and longer than the one before.
 */
export const GrammarFigures = z.object({
  requests: count,
  refused: count,
  compiled: count,
  compileMs: finite,
  compileTimes: z.array(z.tuple([finite, count])),
  masks: count,
  maskMs: finite,
});
export type GrammarFigures = z.infer<typeof GrammarFigures>;

/** Of a worker's prompt cache since it was started: blocks or records that are kept; tokens of prompts, found or not, and why not. */
export const PrefixFigures = z.object({
  entries: count,
  hitTokens: count,
  neverSeenTokens: count,
  evictedTokens: count,
  otherSaltTokens: count,
  belowBlockTokens: count,
  evictions: count,
});
export type PrefixFigures = z.infer<typeof PrefixFigures>;

/** Of its tier on disk; not `on`: it was asked for, and can't be used. */
export const DiskFigures = z.object({
  on: z.boolean(),
  blocks: count,
  bytes: finite,
  pending: count,
  hits: count,
  hitTokens: count,
  misses: count,
  writes: count,
  drops: count,
  evictions: count,
  unfit: count,
  readErrors: count,
  writeErrors: count,
  slow: count,
});
export type DiskFigures = z.infer<typeof DiskFigures>;
