/** /admin: what the workers and the requests do, restarting and killing workers, cancelling requests. */
import type { FastifyReply } from "fastify";
import type { Engine, Timeline, WorkerInfo } from "../../engine/api.js";
import { failure } from "../../failures.js";
import type { ServerLimits } from "../options.js";
import { EventStream } from "../streams/sse.js";
import type { LiveFeed, Standing } from "./live-feed.js";

export function workers(engine: Engine): WorkerInfo[] {
  return engine.workers();
}

/** Throws 404. */
export function restartWorker(engine: Engine, id: string): { id: string; restarting: true } {
  if (!engine.restartWorker(id)) throw failure("worker_not_found", { param: "id" });
  return { id, restarting: true };
}

/** Throws 404, and 409 where there is no process to kill. */
export function killWorker(engine: Engine, id: string): { id: string; killed: true } {
  if (!engine.workers().some((worker) => worker.id === id))
    throw failure("worker_not_found", { param: "id" });
  if (!engine.operator.killWorker(id)) throw failure("no_process", { param: "id" });
  return { id, killed: true };
}

/** Throws 404. */
export function cancelRequest(engine: Engine, id: string): { id: string; cancelling: true } {
  if (!engine.operator.cancel(id)) throw failure("request_not_found", { param: "id" });
  return { id, cancelling: true };
}

/** Throws 404. */
export function requestTimeline(engine: Engine, id: string): Timeline {
  const timeline = engine.operator.timeline(id);
  if (timeline === undefined) throw failure("request_not_found", { param: "id" });
  return timeline;
}

/** Throws 503 where too many watch already. */
export function followLive(
  feed: LiveFeed,
  reply: FastifyReply,
  limits: ServerLimits,
  standing: Standing,
): void {
  if (feed.isFull) throw failure("too_many_viewers");
  feed.follow(new EventStream(reply, limits), standing);
}
