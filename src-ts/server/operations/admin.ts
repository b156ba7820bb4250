/** /admin: what the workers do, and restarting them. */
import type { Engine, WorkerInfo } from "../../engine/api.js";
import { notFound } from "../errors.js";

export function workers(engine: Engine): WorkerInfo[] {
  return engine.workers();
}

/** Throws 404. */
export function restartWorker(engine: Engine, id: string): { id: string; restarting: true } {
  if (!engine.restartWorker(id))
    throw notFound("There is no such worker; see GET /admin/workers.", "worker_not_found", "id");
  return { id, restarting: true };
}
