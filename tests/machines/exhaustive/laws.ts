/** What must hold in every state between two turns of the loop. What each effect promises is checked where it runs. */
import type * as Request from "../../../src-ts/machines/Request.js";
import { strikesBeforeAlone } from "../../../src-ts/machines/Request.js";
import type * as Worker from "../../../src-ts/machines/Worker.js";
import { timersOf } from "../Worker.fixtures.js";
import { type Draft, law } from "./draft.js";
import { checkPoison } from "./poison.js";
import {
  isSuspect,
  members,
  preparedBy,
  type RequestPart,
  requestName,
  requestOf,
  slotsOf,
  termsOf,
  workerName,
} from "./world.js";

export function checkState(draft: Draft): void {
  for (const [index, request] of draft.requests.entries())
    if (request !== null) checkRequest(draft, index, request);
  for (const worker of draft.workers.keys()) {
    checkWorker(draft, worker);
    checkBatch(draft, worker);
    checkProcess(draft, worker);
  }
  checkPoison(draft);
}

function checkRequest(draft: Draft, request: number, part: RequestPart): void {
  const { state, slot, closed, queued, waiting, suspect, preparing } = part;
  const name = requestName(request);
  law(closed === (state.kind === "done"), `${name} is closed exactly if it is done`);
  law((slot !== null) === "lease" in state, `${name} has a slot exactly while it has a lease`);
  law(queued === (state.kind === "queued"), `${name} is in the queue exactly while it is queued`);
  const toPrepare = state.kind === "preparing";
  const places = [waiting, suspect, preparing !== null].filter(Boolean).length;
  law(places === (toPrepare ? 1 : 0), `${name} is prepared, or waits for it`);
  if (state.kind === "preparing")
    law(state.deaths === part.deaths, `${name} counts the deaths over its preparation`);
  law(part.logged <= draft.configuration.tokensMax, `${name} has no token too many`);
  if ("tally" in state) checkTally(name, part, state.tally);
  if (slot === null || !("lease" in state)) return;
  law(slot.tokens.length === 0, `${name}'s tokens are numbered when the turn is over`);
  law(slot.lease.workerId === state.lease.workerId, `${name}'s slot is its lease's`);
  law(slot.lease.epoch === state.lease.epoch, `${name}'s slot is its lease's`);
  const { batch } = draft.worker(slot.worker);
  const seats = members(batch).filter(({ requestId }) => requestId === name);
  law(seats.length === 1, `${name} is a member of the batch that runs it`);
}

/** What is counted here and by the machine comes to the same. */
function checkTally(name: string, part: RequestPart, tally: Request.Tally): void {
  const { logged, furthest, fruitless, doubts } = part;
  law(tally.emitted === logged, `${name}'s log has what it emitted`);
  law(tally.mark === furthest, `${name} knows how far it got`);
  law(tally.strikes === fruitless, `${name} counts its strikes`);
  law(tally.doubts === doubts, `${name} counts its doubts`);
  const alone = fruitless + doubts >= strikesBeforeAlone;
  law(tally.alone === alone, `${name} is alone after its second strike`);
}

function checkBatch(draft: Draft, worker: number): void {
  const { batch, windowArmed, wasReady, lost, state, onDuty } = draft.worker(worker);
  const name = workerName(worker);
  const up = wasReady && !lost;
  law(batch === null || up, `${name} has a batch only while it is up`);
  law(batch !== null || !onDuty, `${name} has a batch when it is on duty`);
  law(batch?.kind !== "forming" || windowArmed, `${name}'s window is armed while it is open`);
  // A drain closes the window and leaves its timer: that one is late.
  const mayFire = batch?.kind === "forming" || batch?.kind === "draining";
  law(!windowArmed || mayFire, `${name} has no window without a batch that had one`);
  const present = members(batch);
  const { budget } = termsOf(draft.configuration, draft.worker(worker));
  for (const { requestId } of present) {
    const slot = draft.requests[requestOf(requestId)]?.slot;
    law(slot?.worker === worker, `${requestId} in ${name}'s batch has its slot there`);
  }
  const kvBytes = present.reduce((sum, { cost }) => sum + cost.kvBytes, 0);
  const prefills = present.filter(({ prefilled }) => !prefilled);
  const prefill = prefills.reduce((sum, { cost }) => sum + cost.promptTokens, 0);
  law(present.length <= budget.members, `${name} is within its members`);
  law(kvBytes <= budget.kvBytes, `${name} is within its KV bytes`);
  law(prefills.length < 2 || prefill <= budget.prefillTokens, `${name} is within its prefill`);
  const held = present.some(({ exclusive }) => exclusive);
  law(!held || present.length === 1, `whom ${name} runs alone is alone`);
  for (const { requestId, exclusive } of present) {
    const request = draft.request(requestOf(requestId)).state;
    if ("tally" in request && request.tally.alone) law(exclusive, `${requestId} must run alone`);
  }
  if (batch?.kind === "draining") law(state.kind === "draining", `${name} drains with its batch`);
}

function checkWorker(draft: Draft, worker: number): void {
  const { state, available, timers, process, wasReady, lost } = draft.worker(worker);
  const name = workerName(worker);
  law(available === (state.kind === "ready"), `${name} is available exactly while it is ready`);
  const up = "duty" in state;
  law(up === (wasReady && !lost), `${name} is lost exactly once it is no longer up`);
  const living = !["stopped", "backoff", "broken"].includes(state.kind);
  law((process !== null) === living, `${name} has a process exactly while one is expected`);
  if (up) checkDuty(draft, worker, state.duty);
  const should = timersOf(state).toSorted().join();
  law(timers.join() === should, `${name} while ${state.kind} has timers [${should}]`);
}

function checkDuty(draft: Draft, worker: number, duty: Worker.Duty): void {
  const { pending, pendingPreparing, orphans, trying, process } = draft.worker(worker);
  const name = workerName(worker);
  const preparing = preparedBy(draft, worker).length + orphans;
  const held = slotsOf(draft, worker).length + preparing;
  law(duty.pending === held && pending === held, `${name} knows what it holds`);
  const told = duty.preparing === preparing && pendingPreparing === preparing;
  law(told, `${name} knows what it prepares`);
  law(!trying || (held === 1 && preparing === 1), `whom ${name} tries is alone there`);
  const alone = preparedBy(draft, worker).some((one) => draft.request(one).preparing?.alone);
  law(!alone || trying, `who is to be prepared alone is tried by ${name}`);
  const suspected = slotsOf(draft, worker).some((one) => isSuspect(draft.request(one)));
  law(!suspected || preparing === 0, `${name} prepares nobody beside who must run alone`);
  if (process?.stage !== "up" || draft.configuration.wire === "fifo") return;
  law(process.preparing.length === preparing, `${name} prepares what the loop thinks it does`);
}

/** The process holds what was submitted to it, and was told of every abort. */
function checkProcess(draft: Draft, worker: number): void {
  const { process, state } = draft.worker(worker);
  if (process?.stage !== "up" || draft.configuration.wire === "fifo" || !("duty" in state)) return;
  for (const [index, request] of draft.requests.entries()) {
    if (request?.slot?.worker !== worker) continue;
    const { id, submitted } = request.slot;
    const held = process.held.find((one) => one.id === id);
    if (!submitted || draft.liar !== undefined) continue;
    law(held !== undefined, `${workerName(worker)} holds ${requestName(index)}`);
    const aborted = request.state.kind === "cancelling";
    law(held.aborting === aborted, `the abort of ${requestName(index)} reached its process`);
  }
}

/** Who lies is condemned, alone: whatever it said leaves no other trace. */
export function checkLiar(draft: Draft): void {
  if (draft.liar === undefined) return;
  for (const [worker, before] of draft.world.workers.entries()) {
    const { state } = draft.worker(worker);
    if (worker !== draft.liar)
      law(state.kind === before.state.kind, `${workerName(worker)} pays for another's lie`);
    else if (!draft.mayBeIgnored && ["ready", "suspect", "draining"].includes(before.state.kind))
      law(state.kind === "stopping", `${workerName(worker)} lied and is not condemned`);
  }
}
