/**
 * What goes between the orchestrator and a process, and when. Knows frames and no reason for one.
 *
 * On a `fifo` wire frames wait in both directions and a death cuts what is on its way anywhere. On a
 * `rendezvous` wire nothing waits, and nothing is lost by that:
 * - Upwards: both ends see their own order only. Delay whatever a process does until just before the
 *   orchestrator hears of it: it hears the same in the same order. What was sent and lost is then never
 *   said. What was sent before a kill and heard after it is said by a process that has yet to die.
 * - Downwards: a process does nothing observable because of a frame before it speaks, so it reads at
 *   once and answers when it likes. Only `abort` and `stop` forbid something after they were read;
 *   they are read with their answer, and until then the process goes on.
 * `exhaustive.test.ts` compares what the orchestrator goes through on either wire.
 */
import { protocol } from "../../../src-ts/machines/Worker.js";
import { answered, changeSlot, holderOf, nameOfSlot } from "./books.js";
import { type Draft, law } from "./draft.js";
import { countProgress } from "./retries.js";
import { limitsOf } from "./terms.js";
import type { Turn } from "./turn.js";
import {
  type Down,
  goneSlot,
  type Held,
  type Process,
  promptTokens,
  type Up,
  workerName,
} from "./world.js";

/** Something that may happen next. */
export interface Move {
  readonly label: string;
  /** False for what nobody owes: clients, orders, faults, preemption. What is owed happens some day. */
  readonly owed: boolean;
  /** One frame of this worker's process; more of them may come in the same turn. */
  readonly frameOf?: number;
  readonly apply: (turn: Turn) => void;
}

/** Of the step that each token comes in. */
export const stepNumber = 1;
const ghostStepNumber = 2;

/** A frame goes down to the process. */
export function obey(turn: Turn, worker: number, frame: Down): void {
  const { draft } = turn;
  const { process } = draft.worker(worker);
  // Before it is launched there is no link to write to.
  if (process === null || process.stage === "dead" || process.stage === "launched") return;
  if (draft.configuration.wire === "fifo")
    draft.changeProcess(worker, { down: [...process.down, frame] });
  else read(turn, worker, frame);
}

export function read(turn: Turn, worker: number, frame: Down): void {
  const { draft } = turn;
  const process = draft.worker(worker).process!;
  switch (frame.type) {
    case "load":
      return draft.changeProcess(worker, { stage: "loading" });
    case "stop":
      return draft.changeProcess(worker, { askedToStop: true });
    case "prepare":
      return prepare(turn, worker, process, frame);
    case "admit":
      return admit(draft, worker, process, frame);
    case "abort": {
      const held = process.held.map((one) =>
        one.id === frame.id ? { ...one, aborting: true } : one,
      );
      return draft.changeProcess(worker, { held });
    }
  }
}

function prepare(
  turn: Turn,
  worker: number,
  { preparing, hung }: Process,
  { id, deadly }: Extract<Down, { type: "prepare" }>,
): void {
  const { draft } = turn;
  if (!draft.configuration.prepare && !hung) return say(turn, worker, { type: "prepared", id });
  draft.changeProcess(worker, { preparing: [...preparing, { id, deadly }] });
}

function admit(
  draft: Draft,
  worker: number,
  { held }: Process,
  { id, emitted, deadly }: Extract<Down, { type: "admit" }>,
): void {
  law(id === goneSlot || held.every((one) => one.id !== id), "a slot is admitted once");
  const admitted: Held = { id, deadly, next: emitted, prefilled: false, aborting: false };
  draft.changeProcess(worker, { held: [...held, admitted] });
}

/** The process says something; it reaches the orchestrator now, or waits on the wire. */
export function say(turn: Turn, worker: number, frame: Up): void {
  const { draft } = turn;
  const { process, epoch } = draft.worker(worker);
  if (draft.configuration.wire === "fifo")
    draft.changeProcess(worker, { up: [...process!.up, frame] });
  else hear(turn, worker, epoch, frame);
}

/** A frame of this incarnation comes in. */
export function hear(turn: Turn, worker: number, epoch: number, frame: Up): void {
  const { draft } = turn;
  const workerId = workerName(worker);
  const from = { workerId, epoch };
  const lives = epoch === draft.worker(worker).epoch;
  switch (frame.type) {
    case "garbage":
      return turn.post({ kind: "violated", ...from });
    case "hello":
      return turn.post({ kind: "hello", ...from, protocol });
    case "ready":
      return turn.post({ kind: "loaded", ...from, limits: limitsOf(draft.configuration) });
    case "loadFailed":
      return turn.post({ kind: "loadFailed", ...from });
    case "outOfMemory":
      return turn.post({ kind: "outOfMemory", ...from });
    case "prepared":
      if (lives) answered(draft, worker, frame.id);
      return turn.post({
        kind: "prepared",
        ...from,
        slot: frame.id,
        promptTokens,
        blockHashes: [],
      });
    case "unpreparable":
      if (lives) answered(draft, worker, frame.id);
      return turn.post({ kind: "refused", ...from, slot: frame.id, code: "invalid_prompt" });
    case "refused":
      return turn.post({ kind: "refused", ...from, slot: frame.id, code: "invalid_prompt" });
    case "prefill": {
      const { id: slot, done, total } = frame;
      if (lives) countPrefill(turn, frame);
      return turn.post({ kind: "prefill", ...from, slot, done, total, cached: 0 });
    }
    case "token": {
      const { id: slot, index } = frame;
      if (lives) arrive(draft, worker, slot, index);
      const step = lives ? stepNumber : ghostStepNumber;
      return turn.post({ kind: "step", ...from, step, rows: [[slot, index]] });
    }
    case "ended":
      return turn.post({ kind: "ended", ...from, slot: frame.id, finish: { kind: "length" } });
    case "aborted":
      return turn.post({ kind: "aborted", ...from, slot: frame.id });
  }
}

/** Tokens are kept until it is known whose they are. */
function arrive(draft: Draft, worker: number, slot: number, index: number): void {
  draft.unacknowledged.add(worker);
  const request = holderOf(draft, slot);
  if (request === undefined) return;
  const { tokens, worker: holder } = draft.request(request).slot!;
  if (holder === worker) changeSlot(draft, request, { tokens: [...tokens, index] });
}

/** Nobody listens to details of a request that is being ended, nor to what can't be true. */
function countPrefill(turn: Turn, { id, done, total }: Extract<Up, { type: "prefill" }>): void {
  const { draft } = turn;
  const request = holderOf(draft, id);
  if (request === undefined || done > total || isBeingEnded(turn, request)) return;
  countProgress(draft, request, done);
}

function isBeingEnded(turn: Turn, request: number): boolean {
  const state = turn.request(request)?.state;
  return state?.kind === "cancelling" && state.cause !== "preempted";
}

export function frame(
  draft: Draft,
  worker: number,
  said: Up,
  change: Partial<Process>,
  owed = true,
): Move {
  const about = "id" in said ? ` of ${nameOfSlot(draft, said.id)}` : "";
  const index = said.type === "token" ? ` ${said.index}` : "";
  return {
    label: `${workerName(worker)} says ${said.type}${index}${about}`,
    owed,
    frameOf: worker,
    apply: (turn) => {
      turn.draft.changeProcess(worker, change);
      say(turn, worker, said);
    },
  };
}
