/**
 * What must hold in an engine between any two events. Looks inside: its fields are read here by name,
 * and a name that is gone shows at once.
 */

import type { ResponseLog } from "../../src-ts/engine/log.js";
import type { LiveRequest, Slot } from "../../src-ts/engine/request.js";
import type { Supervisor } from "../../src-ts/engine/supervisor.js";
import type { Member } from "../../src-ts/machines/Batch.js";
import type { SimServer } from "./server.js";
import { kvBudgetBytes } from "./worker.js";

interface Inside {
  loop: {
    live: Map<string, LiveRequest>;
    queue: Set<LiveRequest>;
    slots: { byId: Map<number, Slot> };
    placement: { batches: Map<string, { members: readonly Member[] }> };
    preparer: {
      waiting: Set<LiveRequest>;
      suspects: Set<LiveRequest>;
      running: Map<number, { request: LiveRequest | undefined; worker: Supervisor }>;
    };
  };
  registry: { kept: Map<string, { log: ResponseLog }> };
  supervisors: Supervisor[];
}

const insideOf = (server: SimServer): Inside => server.engine as unknown as Inside;

export function responsesOf(server: SimServer): ResponseLog[] {
  return Array.from(insideOf(server).registry.kept.values(), ({ log }) => log);
}

/** Throws what is wrong. */
export function checkEngine(server: SimServer, maxBatch: number): void {
  const { loop, supervisors } = insideOf(server);
  const { live, queue, slots, placement } = loop;
  for (const request of live.values()) {
    checkRequest(request, queue, slots.byId);
    if (goesOn(server, request.id) && server.now > request.deadlineAt + 1)
      throw new Error(`${request.id} goes on after its deadline`);
  }
  for (const request of queue)
    if (request.state.kind !== "queued") throw new Error(`${request.id} waits and is not queued`);
  for (const slot of slots.byId.values())
    if (live.get(slot.request.id)?.slot !== slot) throw new Error(`slot ${slot.id} is nobody's`);
  for (const [workerId, { members }] of placement.batches)
    checkBatch(workerId, members, live, maxBatch);
  for (const worker of supervisors) if (worker.trying) checkTrial(server, worker);
  for (const { id } of supervisors) {
    const alive = server.processes.filter(({ spec, alive }) => alive && spec.workerId === id);
    if (alive.length > 1) throw new Error(`${id} has ${alive.length} processes`);
  }
}

function checkTrial(server: SimServer, worker: Supervisor): void {
  const { loop } = insideOf(server);
  const prepares = [...loop.preparer.running.values()].filter((one) => one.worker === worker);
  const runs = [...loop.slots.byId.values()].filter(({ workerId }) => workerId === worker.id);
  if (prepares.length !== 1 || runs.length > 0)
    throw new Error(`${worker.id} tries a suspect beside ${prepares.length + runs.length - 1}`);
}

/** Whose prompt a worker prepares under this slot; undefined: it has ended. */
export function preparedFor(server: SimServer, slotId: number): string | undefined {
  return insideOf(server).loop.preparer.running.get(slotId)?.request?.id;
}

/** Throws where anybody is not as well off as one that nothing has befallen. */
export function checkUnblamed(server: SimServer): void {
  const { loop, supervisors } = insideOf(server);
  for (const { id, state } of loop.live.values())
    if ("tally" in state && state.tally.strikes > 0)
      throw new Error(`${id} is struck for what was prepared beside it`);
  for (const { id, state, spawns } of supervisors)
    if (state.kind === "backoff" || state.kind === "broken")
      throw new Error(`${id} is ${state.kind} after ${spawns} starts, for what it prepared`);
}

function checkRequest(
  request: LiveRequest,
  queue: Set<LiveRequest>,
  slots: Map<number, Slot>,
): void {
  const { id, state, slot } = request;
  if (state.kind === "done") throw new Error(`${id} is done and alive`);
  if ((state.kind === "queued") !== queue.has(request))
    throw new Error(`${id} is ${state.kind} and ${queue.has(request) ? "" : "not "}in the queue`);
  if ("lease" in state !== (slot !== undefined))
    throw new Error(`${id} is ${state.kind} with slot ${slot?.id}`);
  if (slot !== undefined && slots.get(slot.id) !== slot)
    throw new Error(`${id}: its slot ${slot.id} is not known`);
  if ("lease" in state && slot?.lease.epoch !== state.lease.epoch)
    throw new Error(`${id}: its slot is of another lease`);
}

function checkBatch(
  workerId: string,
  members: readonly Member[],
  live: Map<string, LiveRequest>,
  maxBatch: number,
): void {
  const ids = members.map(({ requestId }) => requestId);
  if (new Set(ids).size < ids.length) throw new Error(`${workerId}: somebody is in it twice`);
  if (ids.length > maxBatch) throw new Error(`${workerId}: ${ids.length} members`);
  if (members.length > 1 && members.some(({ exclusive }) => exclusive))
    throw new Error(`${workerId}: one that must be alone is not`);
  const bytes = members.reduce((sum, { cost }) => sum + cost.kvBytes, 0);
  if (bytes > kvBudgetBytes) throw new Error(`${workerId}: ${bytes} bytes of KV cache`);
  for (const id of ids)
    if (live.get(id)?.slot?.workerId !== workerId)
      throw new Error(`${workerId}: ${id} is not here`);
}

/** Requests that are being cancelled, by slot and worker. */
export function cancellingIn(server: SimServer): { slot: number; workerId: string }[] {
  return [...insideOf(server).loop.live.values()].flatMap(({ state, slot }) =>
    state.kind === "cancelling" && slot !== undefined
      ? [{ slot: slot.id, workerId: slot.workerId }]
      : [],
  );
}

/** It runs or waits, and nobody has ordered its end. */
export function goesOn(server: SimServer, id: string): boolean {
  const kind = insideOf(server).loop.live.get(id)?.state.kind;
  return kind === "queued" || kind === "prefilling" || kind === "decoding";
}

/** Throws what is left over when nothing is to be done. */
export function checkIdle(server: SimServer): void {
  const { loop } = insideOf(server);
  const counts = {
    live: loop.live.size,
    queue: loop.queue.size,
    slots: loop.slots.byId.size,
    preparing:
      loop.preparer.running.size + loop.preparer.waiting.size + loop.preparer.suspects.size,
    members: [...loop.placement.batches.values()].reduce(
      (sum, { members }) => sum + members.length,
      0,
    ),
    rows: server.processes
      .filter(({ alive }) => alive)
      .reduce((sum, { rows }) => sum + rows.size, 0),
  };
  for (const [what, count] of Object.entries(counts))
    if (count !== 0) throw new Error(`at rest there are ${count} ${what}`);
}
