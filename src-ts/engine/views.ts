/** What models and workers look like from outside. */
import type { ModelSource } from "../worker/messages.js";
import type { ModelInfo, NativeInfo, WorkerInfo } from "./api.js";
import type { Loop } from "./loop.js";
import type { Supervisor } from "./supervisor.js";

export function modelInfo(
  model: ModelSource,
  isDefault: boolean,
  workers: readonly Supervisor[],
  startedAtMs: number,
): ModelInfo {
  const loaded = workers.find(({ limits }) => limits !== undefined);
  return {
    id: model.id,
    created: Math.floor(startedAtMs / 1000),
    isDefault,
    contextMax: loaded?.limits?.contextMax,
    ready: workers.some(({ inService }) => inService),
    abilities: loaded?.abilities,
  };
}

export function workerInfo(worker: Supervisor, loop: Loop): WorkerInfo {
  const slots = [...loop.slots.of(worker.id)];
  const inState = (kind: string): number =>
    slots.filter(({ request }) => request.state.kind === kind).length;
  const live = [...loop.live.values()].filter(({ modelId }) => modelId === worker.model.id);
  const { limits, hello, loading, reason, telemetry } = worker;
  return {
    id: worker.id,
    model: worker.model.id,
    state: worker.state.kind,
    role: worker.available && !worker.onDuty ? "spare" : "active",
    epoch: worker.epoch,
    pid: worker.pid,
    restarts: Math.max(0, worker.spawns - 1),
    running: slots.length,
    prefilling: inState("prefilling"),
    decoding: inState("decoding"),
    cancelling: inState("cancelling"),
    queued: live.filter(({ state }) => state.kind === "queued").length,
    preparing: live.filter(({ state }) => state.kind === "preparing").length,
    backend: hello?.backend,
    versions: hello?.versions ?? {},
    limits: limits && {
      contextMax: limits.contextMax,
      kvBudgetBytes: limits.kvBudgetBytes,
      weightsBytes: limits.weightsBytes,
    },
    loading: loading && { done: loading.done, total: loading.total, what: loading.what },
    reason: reason?.message,
    telemetry,
    native: nativeInfo(worker),
  };
}

function nativeInfo(worker: Supervisor): NativeInfo | null {
  const { nativeParts: parts, nativeFigures: figures, nativeFaults } = worker;
  if (parts === undefined) return null;
  const { metrics = null, pool = null } = figures ?? {};
  return { parts, disabled: nativeFaults.verdict, metrics, pool };
}
