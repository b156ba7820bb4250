/** /admin: what the workers do, and restarting them. */
import type { Engine, WorkerInfo } from "../../engine/api.js";
import { failure } from "../../failures.js";

export function workers(engine: Engine): WorkerInfo[] {
  return engine.workers();
}

/** Throws 404. */
export function restartWorker(engine: Engine, id: string): { id: string; restarting: true } {
  if (!engine.restartWorker(id)) throw failure("worker_not_found", { param: "id" });
  return { id, restarting: true };
}
