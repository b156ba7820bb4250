/** What a worker may say of its native parts, and of its model. */
import type { NativeFigures, NativeParts } from "../../../src-ts/worker/figures.js";
import type { Abilities } from "../../../src-ts/worker/messages.js";

export const nativeParts: NativeParts = {
  pool: { on: true, reason: null, applicable: true, missing: false },
  metrics: { on: false, reason: "krserve_native is <not> built", applicable: true, missing: true },
  kernels: { on: false, reason: "MLX computes on the CPU here", applicable: false, missing: false },
};

export const abilities: Abilities = {
  batch: false,
  batchReason: "logits differ by 0.65 of their spread, 0.001 is noise",
  prefix: "part",
  prefixReason: null,
  kvBits: 8,
  generates: true,
  dimensions: 16,
};

export const nativeFigures: NativeFigures = {
  module: { on: true, version: "1.0.0", reason: null },
  metrics: {
    totalRequests: 7,
    completedRequests: 4,
    failedRequests: 1,
    averageLatencyMs: 250,
    p50LatencyMs: 200.5,
    p95LatencyMs: 400,
    p99LatencyMs: 500,
    throughputRps: 0.5,
  },
  pool: {
    poolSize: 16,
    available: 15,
    totalAcquired: 9,
    totalReleased: 8,
    cacheHits: 6,
    cacheMisses: 3,
  },
};
