/** Options of an engine without a model. */
import type { EngineOptions } from "../../src-ts/engine/api.js";

export const fakeEngine: EngineOptions = {
  models: [{ id: "m", kind: "fake", path: "" }],
  aliases: {},
  workersPerModel: 1,
  spareWorkersPerModel: 0,
  engine: "fake",
  maxBatch: 4,
  queueMax: 64,
  contextMax: 0,
  memoryBudgetBytes: 0,
  prefixCacheBytes: 0,
  prefixCacheShare: 0.5,
  prefixDiskFolder: "",
  prefixDiskBytes: 0,
  prefixSharing: "own",
  kvBits: 0,
  device: "auto",
  controlTokens: "text",
  fakeTokensPerSecond: 0,
  retentionBytesMax: 1e6,
  retentionMs: 60_000,
};
