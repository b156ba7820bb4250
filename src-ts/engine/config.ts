/** What the orchestrator and the workers are made with: the engine's options, and what nobody is asked for. */
import type * as Orchestrator from "../machines/Orchestrator.js";
import type { LoadOptions } from "../worker/messages.js";
import type { EngineOptions } from "./api.js";

const prefillChunkTokens = 512;
const unackedStepsMax = 16;
/** Tokens that a request may generate when it doesn't say. */
const newTokensDefault = 4_096;
/** How long simultaneous arrivals are gathered so that they prefill together. */
const batchWindowMs = 2;
/** Prompt tokens that one worker may have in flight. */
const prefillTokensMax = 16_384;
/** So long after it ran out of memory a worker that starts again gets half as many members. */
const reductionMs = 60_000;

type Policies = Pick<Orchestrator.Config, "workerPolicy" | "schedulerPolicy">;

/** `workers`: names, each with its model. */
export function configOf(
  { workersPerModel: activeMax, maxBatch: membersMax, queueMax }: EngineOptions,
  workers: Orchestrator.Config["workers"],
  policies: Policies,
): Orchestrator.Config {
  return {
    ...{ workers, activeMax, membersMax, queueMax },
    ...{ newTokensDefault, prefillTokensMax, batchWindowMs, reductionMs },
    ...policies,
  };
}

export function loadOptionsOf(options: EngineOptions): LoadOptions {
  const { maxBatch, contextMax, memoryBudgetBytes, device } = options;
  const { prefixCacheBytes, prefixCacheShare, prefixDiskFolder, prefixDiskBytes } = options;
  const { kvBits } = options;
  const { controlTokens, fakeTokensPerSecond } = options;
  return {
    maxBatch,
    contextMax,
    memoryBudgetBytes,
    device,
    prefillChunkTokens,
    prefixCacheBytes,
    prefixCacheShare,
    prefixDiskFolder,
    prefixDiskBytes,
    kvBits,
    unackedStepsMax,
    deterministic: maxBatch === 1,
    controlTokens,
    fakeTokensPerSecond,
    fakeLoadMs: 0,
  };
}
