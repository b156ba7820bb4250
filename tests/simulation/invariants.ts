/**
 * What must hold in an engine between any two events. Looks at the orchestrator's view, and inside the engine
 * for the content: its fields are read here by name, and a name that is gone shows at once.
 */

import type { LiveRequest } from "../../src-ts/engine/requests/content.js";
import type { ResponseLog } from "../../src-ts/engine/responses/log.js";
import {
  type Orchestrator,
  type RequestView,
  type View,
  view,
  type WorkerView,
} from "../../src-ts/machines/Orchestrator.js";
import type { SimServer } from "./server.js";
import { kvAloneBytes, kvBudgetBytes } from "./worker.js";

interface Inside {
  runner: { orchestrator: Orchestrator };
  requests: { live: Map<string, LiveRequest>; slots: Map<number, { workerId: string }> };
  registry: { kept: Map<string, { log: ResponseLog }> };
}

const insideOf = (server: SimServer): Inside => server.engine as unknown as Inside;
const viewOf = (server: SimServer): View => view(insideOf(server).runner.orchestrator);

export function responsesOf(server: SimServer): ResponseLog[] {
  return Array.from(insideOf(server).registry.kept.values(), ({ log }) => log);
}

/** Throws what is wrong. */
export function checkEngine(server: SimServer, maxBatch: number): void {
  const seen = viewOf(server);
  const requests = new Map(seen.requests.map((request) => [request.requestId, request]));
  const queue = new Set(seen.queue);
  for (const request of seen.requests) {
    checkRequest(request, queue, seen);
    checkContent(request, insideOf(server));
    if (isGoingOn(request) && server.now > request.deadlineAt + 1)
      throw new Error(`${request.requestId} goes on after its deadline`);
  }
  for (const id of queue)
    if (!requests.has(id)) throw new Error(`${id} waits in the queue and does not exist`);
  for (const worker of seen.workers) {
    checkBatch(worker, requests, maxBatch);
    if (worker.trying) checkTrial(worker);
    const { workerId } = worker;
    const alive = server.processes.filter(({ spec, alive }) => alive && spec.workerId === workerId);
    if (alive.length > 1) throw new Error(`${workerId} has ${alive.length} processes`);
    checkBlocks(worker, server);
  }
  const { live } = insideOf(server).requests;
  for (const id of live.keys())
    if (!requests.has(id)) throw new Error(`${id} has ended, and its content is kept`);
}

/** What a worker holds is what it said, and one that is gone holds nothing. */
function checkBlocks({ workerId, state, blocks }: WorkerView, { processes }: SimServer): void {
  const held = processes.findLast(({ spec }) => spec.workerId === workerId)?.toldBlocks.size ?? 0;
  const isUp = state.kind === "ready" || state.kind === "suspect" || state.kind === "draining";
  const expected = isUp ? held : 0;
  if (blocks !== expected && state.kind !== "stopping")
    throw new Error(`${workerId} is ${state.kind} and holds ${expected} blocks, not ${blocks}`);
}

function checkTrial({ workerId, preparations, slots }: WorkerView): void {
  if (preparations.length !== 1 || slots.length > 0)
    throw new Error(
      `${workerId} tries a suspect beside ${preparations.length + slots.length - 1} others`,
    );
}

/** Whose prompt a worker prepares under this slot; undefined: it has ended. */
export function preparedFor(server: SimServer, slotId: number): string | undefined {
  return viewOf(server).preparations.find(({ slot }) => slot === slotId)?.requestId;
}

/** Throws where a request or a worker is not as well off as one that nothing has befallen. */
export function checkUnblamed(server: SimServer): void {
  const { requests, workers } = viewOf(server);
  for (const { requestId, state } of requests)
    if ("tally" in state && state.tally.retriesWithoutProgress > 0)
      throw new Error(`${requestId} is struck for what was prepared beside it`);
  for (const { workerId, state, restarts } of workers)
    if (state.kind === "backoff" || state.kind === "broken")
      throw new Error(
        `${workerId} is ${state.kind} after ${restarts} restarts, for what it prepared`,
      );
}

function checkRequest(request: RequestView, queue: ReadonlySet<string>, { workers }: View): void {
  const { requestId: id, state, slot, workerId } = request;
  if (state.kind === "done") throw new Error(`${id} is done and alive`);
  if ((state.kind === "queued") !== queue.has(id))
    throw new Error(`${id} is ${state.kind} and ${queue.has(id) ? "" : "not "}in the queue`);
  if ("lease" in state !== (slot !== undefined))
    throw new Error(`${id} is ${state.kind} with slot ${slot}`);
  if (!("lease" in state)) return;
  if (workerId !== state.lease.workerId) throw new Error(`${id}: its slot is of another lease`);
  const worker = workers.find((one) => one.workerId === workerId);
  if (!worker?.slots.includes(slot!)) throw new Error(`${id}: its slot ${slot} is not known`);
}

const contentOf = {
  waiting: "preparing",
  tokenizing: "preparing",
  storing: "storing",
  accepted: "accepted",
} as const;

/** Content is there for as long as the orchestrator knows the request, and no longer. */
function checkContent(seen: RequestView, inside: Inside): void {
  const { requestId, phase, slot, workerId, emitted } = seen;
  const request = inside.requests.live.get(requestId);
  if (request === undefined) throw new Error(`${requestId} has no content`);
  const logged = request.phase.kind === "accepted" ? request.phase.log.emitted.length : 0;
  if (request.phase.kind !== contentOf[phase])
    throw new Error(`${requestId} is ${phase}, and its content is ${request.phase.kind}`);
  if (logged !== emitted) throw new Error(`${requestId}: ${logged} tokens are out, not ${emitted}`);
  if (slot !== undefined && inside.requests.slots.get(slot)?.workerId !== workerId)
    throw new Error(`${requestId}: tokens of slot ${slot} have nowhere to go`);
}

function checkBatch(
  { workerId, members }: WorkerView,
  requests: ReadonlyMap<string, RequestView>,
  maxBatch: number,
): void {
  const ids = members.map(({ requestId }) => requestId);
  if (new Set(ids).size < ids.length) throw new Error(`${workerId}: a request is in it twice`);
  if (ids.length > maxBatch) throw new Error(`${workerId}: ${ids.length} members`);
  if (members.length > 1 && members.some(({ exclusive }) => exclusive))
    throw new Error(`${workerId}: one that must be alone is not`);
  // A byte a token.
  const bytes = members.reduce((sum, { cost }) => sum + cost.promptTokens + cost.newTokens, 0);
  if (bytes > (members.length > 1 ? kvBudgetBytes : kvAloneBytes))
    throw new Error(`${workerId}: ${bytes} bytes of KV cache, ${members.length} members`);
  for (const id of ids)
    if (requests.get(id)?.workerId !== workerId) throw new Error(`${workerId}: ${id} is not here`);
}

/** Requests that are being cancelled, by slot and worker. */
export function cancellingIn(server: SimServer): { slot: number; workerId: string }[] {
  return viewOf(server).requests.flatMap(({ state, slot, workerId }) =>
    state.kind === "cancelling" && slot !== undefined && workerId !== undefined
      ? [{ slot, workerId }]
      : [],
  );
}

/** It runs or waits, and nobody has ordered its end. */
export function goesOn(server: SimServer, id: string): boolean {
  const request = viewOf(server).requests.find(({ requestId }) => requestId === id);
  return request !== undefined && isGoingOn(request);
}

const isGoingOn = ({ state: { kind } }: RequestView): boolean =>
  kind === "queued" || kind === "prefilling" || kind === "decoding";

/** Throws what is left over when nothing is to be done. */
export function checkIdle(server: SimServer): void {
  const { requests, queue, workers, preparations, unprepared, suspects } = viewOf(server);
  const { live, slots } = insideOf(server).requests;
  const counts = {
    requests: requests.length,
    content: live.size,
    queue: queue.length,
    slots: slots.size + workers.flatMap((worker) => worker.slots).length,
    preparing: preparations.length + unprepared.length + suspects.length,
    members: workers.flatMap(({ members }) => members).length,
    rows: server.processes
      .filter(({ alive }) => alive)
      .reduce((sum, { rows }) => sum + rows.size, 0),
  };
  for (const [what, count] of Object.entries(counts))
    if (count !== 0) throw new Error(`at rest there are ${count} ${what}`);
}

/** Everything that was ordered down has come back, and nobody is being prepared. */
export function isAtRest(server: SimServer): boolean {
  try {
    checkIdle(server);
    return true;
  } catch {
    return false;
  }
}
