/** What supervisors tell, passed on: to the loop what concerns requests, to observers the rest. */
import { ServingError } from "../errors.js";
import type { Loss } from "../machines/Request.js";
import type { Fault } from "../machines/Worker.js";
import type { EngineObserver } from "./api.js";
import type { Loop } from "./loop.js";
import type { Supervisor, SupervisorHost } from "./supervisor.js";

export interface WorkerEventSinks {
  loop: Loop;
  observers: ReadonlySet<EngineObserver>;
  /** A worker of this model can take work. */
  onAvailable(modelId: string): void;
  /** This model can't be loaded, or all its workers are broken. */
  onUnloadable(modelId: string, error: ServingError): void;
}

export function workerEvents(sinks: WorkerEventSinks): SupervisorHost {
  const { loop, observers } = sinks;
  return {
    available: (worker) => {
      loop.workerAvailable(worker);
      sinks.onAvailable(worker.model.id);
    },
    unavailable: (worker) => {
      if (worker.state.kind === "draining") loop.workerDrains(worker);
      else loop.workersChanged(worker.model.id);
    },
    lost: (worker, fault, epoch) => {
      const leases = loop.workerLost(
        worker,
        lossOf(fault, worker.reason?.code === "out_of_memory"),
      );
      for (const observer of observers)
        observer.workerLost?.({ workerId: worker.id, epoch, fault, leases });
    },
    message: (worker, message) => loop.message(worker, message),
    changed: ({ id, epoch, model }, from, to) => {
      const info = { workerId: id, model: model.id, from: from.kind, to: to.kind, epoch };
      for (const observer of observers) observer.workerState?.(info);
      // The first start has its own display; from then on people want to know how it goes on.
      const level = epoch > 1 || from.kind === "ready" ? "info" : "debug";
      for (const observer of observers)
        observer.log?.(level, `worker is ${to.kind}`, { worker: id, epoch });
    },
    report: (worker, fault, fatal) => report(sinks, worker, fault, fatal),
    rejected: (_worker, kind, state, event) => {
      for (const observer of observers)
        observer.rejection?.({ machine: "Worker", kind, state, event });
    },
    log: (level, message, fields) => {
      for (const observer of observers) observer.log?.(level, message, { ...fields });
    },
    loading: ({ id, model, loading }) => {
      if (loading === undefined) return;
      const { done, total, what } = loading;
      for (const observer of observers)
        observer.loading?.({ workerId: id, model: model.id, done, total, what });
    },
    loadFailed: (worker) => sinks.onUnloadable(worker.model.id, loadError(worker)),
  };
}

function report(sinks: WorkerEventSinks, worker: Supervisor, fault: Fault, fatal: boolean): void {
  const { loop, observers } = sinks;
  const message = fatal ? "worker is broken" : "worker was lost";
  const fields = { worker: worker.id, fault, reason: worker.reason?.message };
  for (const observer of observers) observer.log?.(fatal ? "error" : "warn", message, fields);
  if (!fatal) return;
  const others = loop.workersOf(worker.model.id).filter((other) => other !== worker);
  if (others.some(({ state }) => state.kind !== "broken")) return;
  loop.modelBroken(worker.model.id, worker.reason?.message ?? fault);
  sinks.onUnloadable(worker.model.id, loadError(worker));
}

function loadError({ model, reason }: Supervisor): ServingError {
  const { code, message } = reason ?? { code: "worker_broken", message: "it won't start" };
  return new ServingError(`model ${model.id}: ${message}`, { code, status: 503 });
}

/** What the fault of a worker is to its requests; `ranOut`: it said that memory was short. */
export function lossOf(fault: Fault, ranOut: boolean): Loss {
  if (ranOut) return "outOfMemory";
  switch (fault) {
    case "linkClosed":
    case "linkViolated":
    case "stalled":
    case "stopped":
    case "outOfMemory":
      return fault;
    default:
      return "exited";
  }
}
