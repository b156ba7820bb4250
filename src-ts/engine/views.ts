/** What models and workers look like from outside. */
import type { RequestView, View, WorkerView } from "../machines/Orchestrator.js";
import type { State } from "../machines/Worker.js";
import type { ModelSource } from "../worker/messages.js";
import type { ModelInfo, NativeInfo, WorkerInfo } from "./api.js";
import type { WorkerShell } from "./workers/shell.js";

export interface Seen {
  shell: WorkerShell;
  view: WorkerView;
}

/** Up, and one of those that work. */
export const isInService = ({ available, active }: WorkerView): boolean => available && active;

interface OfModel {
  isDefault: boolean;
  aliases: readonly string[];
  workers: readonly Seen[];
  startedAtMs: number;
}

export function modelInfo(
  model: ModelSource,
  { isDefault, aliases, workers, startedAtMs }: OfModel,
): ModelInfo {
  const loaded = workers.find(({ view }) => view.limits !== undefined);
  return {
    id: model.id,
    aliases,
    created: Math.floor(startedAtMs / 1000),
    isDefault,
    format: model.kind === "gguf" ? "gguf" : "safetensors",
    contextMax: loaded?.view.limits?.contextMax,
    ready: workers.some(({ view }) => isInService(view)),
    abilities: loaded?.shell.abilities,
  };
}

export function workerInfo({ shell, view }: Seen, { requests }: View): WorkerInfo {
  const own = requests.filter(({ workerId }) => workerId === view.workerId);
  const ofModel = requests.filter(({ modelId }) => modelId === view.modelId);
  const { limits, state } = view;
  const { hello, loading, telemetry } = shell.current ?? {};
  return {
    id: view.workerId,
    model: view.modelId,
    state: state.kind,
    role: view.available && !view.active ? "spare" : "active",
    epoch: state.memory.epoch,
    pid: pidOf(state),
    restarts: view.restarts,
    running: own.length,
    prefilling: countOf(own, "prefilling"),
    decoding: countOf(own, "decoding"),
    cancelling: countOf(own, "cancelling"),
    queued: countOf(ofModel, "queued"),
    preparing: countOf(ofModel, "preparing"),
    storing: countOf(ofModel, "storing"),
    backend: hello?.backend,
    versions: hello?.versions ?? {},
    limits: limits && {
      contextMax: limits.contextMax,
      kvBudgetBytes: limits.kvBudgetBytes,
      kvAloneBytes: limits.kvAloneBytes,
      kvBytesPerToken: limits.kvBytesPerToken,
      kvBits: shell.abilities?.kvBits ?? 0,
      weightsBytes: limits.weightsBytes,
    },
    loading: loading && { done: loading.done, total: loading.total, what: loading.what },
    reason: shell.reason?.message,
    telemetry,
    native: nativeInfo(shell),
  };
}

const countOf = (requests: readonly RequestView[], kind: RequestView["state"]["kind"]): number =>
  requests.filter(({ state }) => state.kind === kind).length;

/** Undefined while it has no process. */
export function pidOf(state: State): number | undefined {
  const pid = "liveness" in state ? state.liveness.pid : "pid" in state ? state.pid : 0;
  return pid > 0 ? pid : undefined;
}

function nativeInfo({ nativeParts: parts, nativeFaults, current }: WorkerShell): NativeInfo | null {
  if (parts === undefined) return null;
  const { metrics = null, pool = null } = current?.nativeFigures ?? {};
  return { parts, disabled: nativeFaults.verdict, metrics, pool };
}
