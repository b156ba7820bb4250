/**
 * The scheduler of the search. Its bundle lets `Placement` ask this module for a plan instead of `Scheduler`; that
 * is the only line of the orchestrator that is not as it ships. Where the configuration says `real`, it passes
 * the question on; where it says `any`, it decides what the search wants tried.
 *
 * The orchestrator asks for a plan when something has changed, and somebody waits. So that any decision can come
 * at any time, a visitor comes in with it, a stored request, which is cancelled at once and leaves nothing behind.
 */
import * as Scheduler from "../../../src-ts/machines/Scheduler.js";
import { restore } from "./clients.js";
import { law } from "./draft.js";
import { visitor } from "./terms.js";
import type { Turn } from "./turn.js";
import { requestName, workerName } from "./world.js";

let isReal = false;
let wanted: Scheduler.Decision[] = [];

export function choosePlan(kind: "any" | "real"): void {
  isReal = kind === "real";
  wanted = [];
}

export function plan(input: Scheduler.PlanInput): Scheduler.Planned {
  if (isReal) return Scheduler.plan(input);
  const decisions = wanted;
  wanted = [];
  return { decisions, shares: [] };
}

function decide(turn: Turn, decision: Scheduler.Decision): void {
  restore(turn, visitor, 0, 0);
  wanted = [decision];
  turn.end();
  law(wanted.length === 0, "who waits is planned for");
  turn.post({ kind: "cancel", requestId: visitor });
}

export function dispatch(turn: Turn, request: number, worker: number): void {
  const requestId = requestName(request);
  decide(turn, { kind: "dispatch", requestId, workerId: workerName(worker) });
  const fits = turn.draft.request(request).slot?.worker === worker;
  law(fits, "who is dispatched fits: the plan only uses what is free");
}

export function preempt(turn: Turn, request: number): void {
  const workerId = workerName(turn.draft.request(request).slot!.worker);
  decide(turn, {
    kind: "preempt",
    requestId: requestName(request),
    workerId,
    inFavourOf: visitor,
  });
}
