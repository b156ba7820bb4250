/**
 * What must hold in every state between two turns, of what the orchestrator shows and what surrounds it. What
 * each command promises is checked where it is carried out.
 */
import type * as Batch from "../../../src-ts/machines/Batch.js";
import type { RequestView, View, WorkerView } from "../../../src-ts/machines/Orchestrator.js";
import type * as Request from "../../../src-ts/machines/Request.js";
import { retriesBeforeAlone } from "../../../src-ts/machines/Request.js";
import type * as Worker from "../../../src-ts/machines/Worker.js";
import { timersOf } from "../Worker.fixtures.js";
import { type Draft, law } from "./draft.js";
import { checkPoison } from "./poison.js";
import {
  type Process,
  type RequestPart,
  requestName,
  requestOf,
  type WorkerPart,
  workerName,
} from "./world.js";

/** It must run with nobody beside it. */
export const isSuspect = (state: Request.State): boolean => "tally" in state && state.tally.alone;

export const membersOf = (batch: Batch.State): readonly Batch.Member[] => {
  switch (batch.kind) {
    case "forming":
      return [...batch.running, ...batch.joining];
    case "closed":
      return [];
    default:
      return batch.members;
  }
};

/** Who is shown, by number. */
export class Seen {
  private readonly requests: (RequestView | undefined)[] = [];

  constructor(readonly view: View) {
    for (const one of view.requests) this.requests[requestOf(one.requestId)] = one;
  }

  request(request: number): RequestView | undefined {
    return this.requests[request];
  }

  worker(worker: number): WorkerView {
    return this.view.workers[worker]!;
  }
}

export function checkState(draft: Draft, view: View): void {
  const seen = new Seen(view);
  checkLists(draft, view, seen);
  for (const [request, part] of draft.requests.entries())
    if (part !== null) checkRequest(draft, seen, request, part);
  for (const [worker, part] of draft.workers.entries()) {
    checkWorker(draft, seen, worker, part);
    checkBatch(draft, seen, worker, part);
    checkProcess(draft, seen, worker, part);
  }
  checkPoison(draft, view);
}

/** Who is on a list is there, and somebody it is for. */
function checkLists(draft: Draft, view: View, seen: Seen): void {
  const stateOf = (name: string) => seen.request(requestOf(name))?.state.kind;
  for (const { requestId } of view.requests)
    law(draft.requests[requestOf(requestId)] !== null, `${requestId} is there and never came`);
  for (const name of view.queue)
    law(stateOf(name) === "queued", `${name} is in the queue exactly while it is queued`);
  for (const name of [...view.unprepared, ...view.suspects])
    law(stateOf(name) === "preparing", `${name} waits to be prepared, and is ${stateOf(name)}`);
  const { workers, spares } = draft.configuration;
  const active = view.workers.filter((one) => one.active).length;
  law(active <= workers - spares, `${active} workers are active, and ${spares} stand by`);
  const tries = view.workers.some(
    ({ available, slots, preparations }) => available && slots.length + preparations.length === 0,
  );
  law(view.suspects.length === 0 || !tries, "a suspect is tried by whoever holds nobody");
  const isFree = view.workers.some(({ accepting }) => accepting);
  const suspected = view.requests.some(({ state }) => isSuspect(state));
  law(view.unprepared.length === 0 || !isFree || suspected, "whoever takes work prepares it");
  const broken = view.workers.every(({ state }) => state.kind === "broken");
  for (const { requestId, phase } of view.requests)
    law(
      !broken || phase === "accepted",
      `${requestId} waits to be accepted where every worker is broken`,
    );
}

function checkRequest(draft: Draft, seen: Seen, request: number, part: RequestPart): void {
  const name = requestName(request);
  const shown = seen.request(request);
  law(part.closed === (shown === undefined), `${name} is closed exactly if it is done`);
  if (shown === undefined) {
    law(part.slot === null, `${name} has a slot exactly while it has a lease`);
    return;
  }
  const { state } = shown;
  law(state.kind !== "done", `${name} is closed exactly if it is done`);
  const { queue } = seen.view;
  const isQueued = queue.includes(name);
  law(isQueued === (state.kind === "queued"), `${name} is in the queue exactly while it is queued`);
  checkPhase(name, part, shown);
  checkPreparation(seen.view, name, part, state);
  law(part.logged <= draft.configuration.tokensMax, `${name} has no token too many`);
  law(shown.emitted === part.logged, `${name}'s log has what it emitted`);
  if ("tally" in state && !isBeingEnded(state)) checkTally(name, part, state.tally);
  checkSlot(seen, name, part, shown);
}

const isBeingEnded = (state: Request.State): boolean =>
  state.kind === "cancelling" && state.cause !== "preempted";

/** How far it is for the orchestrator, for its machine and for the world around it is the same. */
function checkPhase(name: string, part: RequestPart, { phase, state }: RequestView): void {
  law(part.accepted === (phase === "accepted"), `${name} is accepted when it is told so`);
  law(part.storing === (state.kind === "storing"), `${name} is stored while its machine says so`);
  const isPreparing = phase === "waiting" || phase === "tokenizing";
  law(isPreparing === (state.kind === "preparing"), `${name} is ${phase} and ${state.kind}`);
  law(part.storing === (phase === "storing"), `${name} is stored, and ${phase}`);
  law((part.preparing !== null) === (phase === "tokenizing"), `${name} is at a worker: ${phase}`);
}

function checkPreparation(
  { unprepared, suspects, preparations }: View,
  name: string,
  { preparing, deaths }: RequestPart,
  state: Request.State,
): void {
  const places = [unprepared.includes(name), suspects.includes(name), preparing !== null];
  const should = state.kind === "preparing" ? 1 : 0;
  law(places.filter(Boolean).length === should, `${name} is prepared, or waits for it`);
  if (state.kind !== "preparing") return;
  law(state.deaths === deaths, `${name} counts the deaths over its preparation`);
  const mine = preparations.filter(({ requestId }) => requestId === name);
  law(mine.length === (preparing ? 1 : 0), `${name} is prepared where it was sent`);
  for (const { slot } of mine) law(slot === preparing?.id, `${name} is prepared where it was sent`);
}

/** What is counted here and by the machine comes to the same. */
function checkTally(name: string, part: RequestPart, tally: Request.Tally): void {
  const { logged, furthest, retries, doubts } = part;
  law(tally.emitted === logged, `${name}'s log has what it emitted`);
  law(tally.highWater === furthest, `${name} knows how far it got`);
  law(tally.retriesWithoutProgress === retries, `${name} counts its retries without progress`);
  law(tally.doubts === doubts, `${name} counts its doubts`);
  const alone = retries + doubts >= retriesBeforeAlone;
  law(tally.alone === alone, `${name} is alone after its second retry without progress`);
}

function checkSlot(
  seen: Seen,
  name: string,
  { slot }: RequestPart,
  { state, slot: id, workerId }: RequestView,
): void {
  const isHeld = "lease" in state && slot !== null && id === slot.id;
  const isFree = !("lease" in state) && slot === null && id === undefined;
  law(isHeld || isFree, `${name} has a slot exactly while it has a lease`);
  if (slot === null || !("lease" in state)) return;
  const worker = workerName(slot.worker);
  law(state.lease.workerId === worker && workerId === worker, `${name}'s slot is its lease's`);
  law(slot.tokens.length === 0, `${name}'s tokens are numbered when the turn is over`);
  const { members } = seen.worker(slot.worker);
  const seats = members.filter(({ requestId }) => requestId === name);
  law(seats.length === 1, `${name} is a member of the batch that runs it`);
  const isPrefilled = seats[0]!.prefilled;
  law(isPrefilled || state.kind !== "decoding", `${name} has prefilled, and its batch knows`);
  law(!isPrefilled || state.kind !== "prefilling", `${name} has yet to prefill`);
}

function checkBatch(draft: Draft, seen: Seen, worker: number, part: WorkerPart): void {
  const { wasReady, lost, windowArmed, reduced } = part;
  const { batch, reduction, state, active } = seen.worker(worker);
  const name = workerName(worker);
  law(batch === undefined || (wasReady && !lost), `${name} has a batch only while it is up`);
  law(batch !== undefined || !active, `${name} has a batch when it is active`);
  law(batch?.kind !== "forming" || windowArmed, `${name}'s window is armed while it is open`);
  // A drain closes the window and leaves its timer: that one is late.
  const mayFire = batch?.kind === "forming" || batch?.kind === "draining";
  law(!windowArmed || mayFire, `${name} has no window without a batch that had one`);
  if (reduced !== null && reduced.at === draft.now)
    law(
      reduction?.members === reduced.members,
      `${name} gets half of what it ran out of memory with`,
    );
  if (batch === undefined) return;
  const { membersMax } = draft.configuration;
  if (batch.kind !== "closed")
    checkBudget(name, batch, reduction === undefined ? membersMax : reduction.members);
  for (const { requestId, exclusive } of membersOf(batch)) {
    const request = requestOf(requestId);
    const there = draft.requests[request]?.slot?.worker === worker;
    law(there, `${requestId} in ${name}'s batch has its slot there`);
    const shown = seen.request(request);
    if (shown && isSuspect(shown.state)) law(exclusive, `${requestId} must run alone`);
  }
  const drains = batch.kind === "draining" || batch.kind === "closed";
  law(drains === (state.kind === "draining"), `${name} drains with its batch`);
}

function checkBudget(
  name: string,
  batch: Exclude<Batch.State, { kind: "closed" }>,
  membersMax: number,
): void {
  const present = membersOf(batch);
  const { budget } = batch.terms;
  const kvBytes = present.reduce((sum, { cost }) => sum + cost.kvBytes, 0);
  const prefills = present.filter(({ prefilled }) => !prefilled);
  const prefill = prefills.reduce((sum, { cost }) => sum + cost.promptTokens, 0);
  law(present.length <= membersMax, `${name} is within its members`);
  law(kvBytes <= budget.kvBytes, `${name} is within its KV bytes`);
  law(prefills.length < 2 || prefill <= budget.prefillTokens, `${name} is within its prefill`);
  const held = present.some(({ exclusive }) => exclusive);
  law(!held || present.length === 1, `whom ${name} runs alone is alone`);
}

function checkWorker(draft: Draft, seen: Seen, worker: number, part: WorkerPart): void {
  const { timers, process, wasReady, lost, epoch } = part;
  const shown = seen.worker(worker);
  const { state, available } = shown;
  const name = workerName(worker);
  law(available === (state.kind === "ready"), `${name} is available exactly while it is ready`);
  law(state.memory.epoch === epoch, `${name} is the incarnation that was launched last`);
  const up = "liveness" in state;
  law(up === (wasReady && !lost), `${name} is lost exactly once it is no longer up`);
  const living = !["stopped", "backoff", "broken"].includes(state.kind);
  law((process !== null) === living, `${name} has a process exactly while one is expected`);
  if (up) checkLiveness(seen, worker, part, shown, state.liveness);
  if (draft.server.phase === "closed") {
    const ends = state.kind === "stopped" || (state.kind === "stopping" && state.intent === "stop");
    law(ends, `${name} ends with the server`);
  }
  const should = timersOf(state).toSorted().join();
  law(timers.join() === should, `${name} while ${state.kind} has timers [${should}]`);
}

function checkLiveness(
  seen: Seen,
  worker: number,
  { preparing: books }: WorkerPart,
  { slots, preparations, pending, preparing, trying }: WorkerView,
  liveness: Worker.Liveness,
): void {
  const name = workerName(worker);
  const { length } = preparations;
  const held = slots.length + length;
  law(liveness.pending === held && pending === held, `${name} knows what it holds`);
  law(liveness.preparing === length && preparing === length, `${name} knows what it prepares`);
  law(books.length === length, `${name} prepares what it was sent`);
  law(!trying || (held === 1 && length === 1), `whom ${name} tries is alone there`);
  const here = seen.view.preparations.filter(({ workerId }) => workerId === name);
  law(here.length === length, `${name} knows what it prepares`);
  const alone = here.some((one) => one.alone && one.requestId !== undefined);
  law(!alone || trying, `who is to be prepared alone is tried by ${name}`);
  const suspected = seen.view.requests.some(
    ({ workerId, state }) => workerId === name && isSuspect(state),
  );
  law(!suspected || length === 0, `${name} prepares nobody beside who must run alone`);
}

/** The process holds what was submitted to it, and was told of every abort. */
function checkProcess(draft: Draft, seen: Seen, worker: number, { process }: WorkerPart): void {
  const { state, preparations } = seen.worker(worker);
  if (process?.stage !== "up" || draft.configuration.wire === "fifo" || !("liveness" in state))
    return;
  const prepares = process.preparing.length === preparations.length;
  law(prepares, `${workerName(worker)} prepares what the orchestrator thinks it does`);
  for (const [index, request] of draft.requests.entries()) {
    if (request?.slot?.worker !== worker) continue;
    const { id, submitted } = request.slot;
    const held = process.held.find((one) => one.id === id);
    if (!submitted || draft.liar !== undefined) continue;
    law(held !== undefined, `${workerName(worker)} holds ${requestName(index)}`);
    const aborted = seen.request(index)?.state.kind === "cancelling";
    law(held.aborting === aborted, `the abort of ${requestName(index)} reached its process`);
  }
}

/** What one turn may leave behind, beside what it was in `before`. */
export function checkTurn(draft: Draft, before: View, after: View): void {
  checkLiar(draft, before, after);
  for (const [worker, { process }] of draft.workers.entries())
    checkOrder(draft, before.workers[worker]!, after.workers[worker]!, process);
  if (draft.ghost !== undefined) checkGhost(draft.ghost, before, after);
  for (const worker of draft.unacknowledged) {
    const { state } = after.workers[worker]!;
    law(
      !("liveness" in state),
      `the steps of ${workerName(worker)} are acknowledged in their turn`,
    );
  }
}

/** Whose end begins, its process is told. */
function checkOrder(
  { configuration }: Draft,
  { state: before }: WorkerView,
  { state, workerId }: WorkerView,
  process: Process | null,
): void {
  if (state.kind !== "stopping" || before.kind === "stopping") return;
  // Before it is launched there is no link to ask over; the dead hear nothing; what is on a wire is not heard yet.
  if (process === null || process.stage === "launched" || process.stage === "dead") return;
  if (configuration.wire === "fifo") return;
  const isAsked = state.fault === "stopped" || state.fault === "loadFailed";
  const isTold = process.killed || (isAsked && process.askedToStop);
  law(isTold, `the process of ${workerId} is told to end`);
}

/** Who lies is blamed, alone: whatever it said leaves no other trace. */
function checkLiar({ liar, mayBeIgnored }: Draft, before: View, after: View): void {
  if (liar === undefined) return;
  for (const [worker, { state }] of before.workers.entries()) {
    const now = after.workers[worker]!.state;
    if (worker !== liar)
      law(now.kind === state.kind, `${workerName(worker)} pays for another's lie`);
    else if (!mayBeIgnored && "liveness" in state)
      law(now.kind === "stopping", `${workerName(worker)} lied and is not blamed`);
  }
}

/** What an incarnation that has gone says changes nothing. */
function checkGhost(ghost: number, before: View, after: View): void {
  const [was, is] = [before.workers[ghost]!, after.workers[ghost]!];
  law(was.state === is.state, `${was.workerId} pays for what its last incarnation says`);
}
