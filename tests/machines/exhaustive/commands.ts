/**
 * Each command of the orchestrator, carried out on the world around it; what a command promises is checked here.
 * Keeps the books of an outsider: who was sent where, which tokens are out, who was lost. Decides nothing.
 */
import type { Command, Input } from "../../../src-ts/machines/Orchestrator.js";
import type * as Worker from "../../../src-ts/machines/Worker.js";
import { answered, changeSlot, disarm, holderOf } from "./books.js";
import { type Draft, law } from "./draft.js";
import { checkFailure } from "./poison.js";
import { countLoss, countTokens } from "./retries.js";
import { visitor } from "./terms.js";
import type { Turn } from "./turn.js";
import { obey, stepNumber } from "./wire.js";
import { newProcess, requestName, requestOf, slotsOf, workerOf } from "./world.js";

type Of<K extends Command["kind"]> = Extract<Command, { kind: K }>;

export function carryOut(turn: Turn, command: Command, because: Input): void {
  if ("requestId" in command && command.requestId === visitor) return;
  if ("epoch" in command) checkEpoch(turn.draft, command);
  switch (command.kind) {
    case "launch":
      return launch(turn.draft, command);
    case "kill":
      return turn.draft.changeProcess(workerOf(command.workerId), { killed: true });
    case "load":
      return obey(turn, workerOf(command.workerId), { type: "load" });
    case "askStop":
      return obey(turn, workerOf(command.workerId), { type: "stop" });
    case "prepare":
      return prepare(turn, command);
    case "admit":
      for (const { slot, requestId } of command.requests)
        submit(turn, workerOf(command.workerId), slot, requestOf(requestId));
      return;
    case "abort":
      return abort(turn, command);
    case "acknowledge":
      return acknowledge(turn.draft, command);
    case "armWorker":
      return arm(turn.draft, workerOf(command.workerId), command.timer);
    case "disarmWorker":
      return disarm(turn.draft, workerOf(command.workerId), command.timer);
    case "armWindow":
      return turn.draft.changeWorker(workerOf(command.workerId), { windowArmed: true });
    case "disarmWindow":
      return turn.draft.changeWorker(workerOf(command.workerId), { windowArmed: false });
    case "available":
      return turn.draft.changeWorker(workerOf(command.workerId), { wasReady: true });
    case "workerLost":
      return lost(turn.draft, command);
    case "rejected":
      return checkRejection(turn.draft, command);
    case "blame":
      law(turn.draft.liar === workerOf(command.workerId), `${command.workerId} is blamed: honest`);
      return;
    case "loadFailed":
      law(because.kind === "loadFailed", "only who can't load says so");
      return;
    case "processEnded":
    case "report":
    case "modelBroken":
    case "workerChanged":
    case "workerStopped":
    case "workerLeft":
      return;
    default:
      return ofRequests(turn.draft, command);
  }
}

type OfRequests = Of<
  | "size"
  | "store"
  | "accept"
  | "queued"
  | "lease"
  | "cached"
  | "append"
  | "discard"
  | "migrated"
  | "release"
  | "close"
  | "interrupt"
  | "turnAway"
  | "armDeadline"
  | "endTurn"
>;

function ofRequests(draft: Draft, command: OfRequests): void {
  if ("requestId" in command)
    law(
      draft.requests[requestOf(command.requestId)]?.closed === false,
      "nothing comes after close",
    );
  switch (command.kind) {
    case "accept":
      return accept(draft, requestOf(command.requestId));
    case "lease":
      return lease(draft, command);
    case "append":
      return append(draft, command);
    case "discard":
      return discard(draft, command);
    case "release":
      return release(draft, command.slot);
    case "close":
      return close(draft, command);
    case "interrupt":
      return interrupt(draft, requestOf(command.requestId));
    case "turnAway":
      draft.requests[requestOf(command.requestId)] = null;
      return;
    case "store":
      law(draft.request(requestOf(command.requestId)).survives, "only what survives is stored");
      return draft.changeRequest(requestOf(command.requestId), { storing: true, isStored: true });
    default:
      return;
  }
}

// Workers.

/** What is said of an incarnation that has gone comes when the next one is launched already. */
function checkEpoch(draft: Draft, command: Extract<Command, { epoch: number }>): void {
  const { kind, epoch, workerId } = command;
  const told = kind === "launch" || kind === "workerLost" || kind === "workerChanged";
  const lives = told || epoch === draft.worker(workerOf(workerId)).epoch;
  law(lives, `${kind} is for the incarnation that lives`);
}

function launch(draft: Draft, { workerId, epoch }: Of<"launch">): void {
  const worker = workerOf(workerId);
  law(draft.worker(worker).process === null, "one live process per worker");
  law(epoch === draft.worker(worker).epoch + 1, "every incarnation has an epoch of its own");
  draft.changeWorker(worker, { process: newProcess, epoch, wasReady: false, lost: false });
}

function arm(draft: Draft, worker: number, timer: Worker.Timer): void {
  const { timers } = draft.worker(worker);
  if (timers.includes(timer)) return;
  draft.changeWorker(worker, { timers: [...timers, timer].toSorted() });
}

function acknowledge(draft: Draft, { workerId, step }: Of<"acknowledge">): void {
  const said = step === stepNumber && draft.unacknowledged.delete(workerOf(workerId));
  law(said, `${workerId} is told of a step that it never said`);
}

function lost(draft: Draft, { workerId, fault, leases }: Of<"workerLost">): void {
  const worker = workerOf(workerId);
  const { wasReady, lost, preparing } = draft.worker(worker);
  law(wasReady && !lost, "lose comes once for an incarnation that was ready, and for no other");
  const charged = fault !== "stopped";
  const held = slotsOf(draft, worker);
  law(leases === held.length, `${workerId} is lost with what it holds`);
  for (const request of held) {
    const slot = draft.request(request).slot!;
    const others = preparing.length > 0 || held.length > 1;
    const lost = { charged, beside: others && fault !== "outOfMemory" };
    draft.changeRequest(request, { slot: { ...slot, lost } });
  }
  for (const [request, one] of draft.requests.entries())
    if (one?.preparing?.worker === worker)
      draft.changeRequest(request, { preparing: null, deaths: one.deaths + (charged ? 1 : 0) });
  draft.changeWorker(worker, { preparing: [], lost: true });
  if (fault === "outOfMemory" && held.length > 0) {
    const members = Math.max(1, Math.floor(held.length / 2));
    draft.changeWorker(worker, { reduced: { members, at: draft.now } });
  }
}

function checkRejection(draft: Draft, { machine, rejection, state, event }: Of<"rejected">): void {
  if (rejection === "stale")
    return law(draft.ghost !== undefined, `${event} while ${state}: stale, and of one that lives`);
  const isRace = rejection === "late";
  const says = `a ${machine} hears ${event} while ${state}: ${rejection}, and honest`;
  law(isRace || (draft.liar !== undefined && machine !== "Batch"), says);
}

// Frames.

function prepare(turn: Turn, { workerId, slot: id, requestId }: Of<"prepare">): void {
  const { draft } = turn;
  const [worker, request] = [workerOf(workerId), requestOf(requestId)];
  law(draft.request(request).preparing === null, "prepared by one worker at a time");
  draft.changeRequest(request, { preparing: { id, worker } });
  draft.changeWorker(worker, { preparing: [...draft.worker(worker).preparing, id] });
  if (draft.request(request).unsendable === "prompt") return unsendable(turn, worker, id);
  const deadly = draft.configuration.poison === "prepare" && request === 0;
  obey(turn, worker, { type: "prepare", id, deadly });
}

function submit(turn: Turn, worker: number, id: number, request: number): void {
  const { slot, logged } = turn.draft.request(request);
  const fits = slot?.id === id && slot.worker === worker && !slot.submitted;
  law(fits, "submitted once, where its slot is");
  changeSlot(turn.draft, request, { submitted: true });
  if (turn.draft.request(request).unsendable === "admission") return unsendable(turn, worker, id);
  const deadly = turn.draft.configuration.poison === "run" && request === 0;
  obey(turn, worker, { type: "admit", id, emitted: logged, deadly });
}

/** No frame goes to the process: whether it lives is nobody's question. */
function unsendable(turn: Turn, worker: number, slot: number): void {
  answered(turn.draft, worker, slot);
  turn.post({ kind: "unsendable", slot, code: "request_too_large" });
}

function abort(turn: Turn, { workerId, slot: id }: Of<"abort">): void {
  const request = holderOf(turn.draft, id);
  law(request !== undefined, "only who has a slot is aborted");
  const { slot } = turn.draft.request(request);
  law(slot?.submitted === true && !slot.abortSent, "one abort a lease");
  law(slot.worker === workerOf(workerId), "aborted where its slot is");
  changeSlot(turn.draft, request, { abortSent: true });
  obey(turn, slot.worker, { type: "abort", id });
}

// Requests.

function accept(draft: Draft, request: number): void {
  const { accepted, storing, survives, isStored } = draft.request(request);
  law(!accepted, "accepted once");
  law(!storing, "nobody hears of it before it is stored");
  law(isStored || !survives, "what survives is stored before it is accepted");
  draft.changeRequest(request, { accepted: true });
}

function lease(draft: Draft, { requestId, workerId, slot: id }: Of<"lease">): void {
  const request = requestOf(requestId);
  const { slot, accepted, furthest } = draft.request(request);
  law(slot === null, "one live lease at a time");
  law(accepted, "nobody runs before it is accepted");
  draft.changeRequest(request, {
    slot: {
      ...{ id, worker: workerOf(workerId), submitted: false, abortSent: false },
      ...{ tokens: [], furthestAtStart: furthest, lost: null },
    },
  });
}

function append(draft: Draft, { requestId, slot: id, count }: Of<"append">): void {
  const request = requestOf(requestId);
  const { slot, logged } = draft.request(request);
  law(slot?.id === id, "only tokens under a lease are emitted");
  const said = slot.tokens.slice(0, count).join();
  const should = Array.from({ length: count }, (_, index) => logged + index).join();
  law(said === should, `the log gets the tokens it says: [${should}], not [${said}]`);
  changeSlot(draft, request, { tokens: slot.tokens.slice(count) });
  draft.changeRequest(request, { logged: logged + count });
  countTokens(draft, request);
}

function discard(draft: Draft, { slot: id, count }: Of<"discard">): void {
  const request = holderOf(draft, id);
  if (request === undefined) return;
  const { tokens } = draft.request(request).slot!;
  law(tokens.length >= count, "what is discarded has come");
  changeSlot(draft, request, { tokens: tokens.slice(count) });
}

function release(draft: Draft, id: number): void {
  const request = holderOf(draft, id);
  law(request !== undefined, "a slot is released once");
  countLoss(draft, request);
  const { slot, closed } = draft.request(request);
  const isTaken = slot!.tokens.length === 0 || closed || draft.liar !== undefined;
  law(isTaken, `what came for ${requestName(request)} is in its log when its slot is released`);
  draft.changeRequest(request, { slot: null });
}

function close(draft: Draft, { requestId, finish }: Of<"close">): void {
  const request = requestOf(requestId);
  const isShutDown = finish.kind === "failed" && finish.code === "server_shutdown";
  const { survives, accepted } = draft.request(request);
  law(!isShutDown || !survives || !accepted, "what is stored goes on elsewhere");
  const crashed =
    finish.kind === "failed" &&
    (finish.code === "worker_crashed" || finish.code === "out_of_memory");
  draft.changeRequest(request, { closed: true, preparing: null, storing: false, gaveUp: crashed });
  if (crashed) checkFailure(draft, request);
}

function interrupt(draft: Draft, request: number): void {
  law(draft.request(request).accepted, "only what was accepted is interrupted");
  law(draft.server.phase === "shutDown", "only a server that ends interrupts");
  draft.changeRequest(request, { interrupted: true });
}
