/**
 * One worker process as the loop meets it: what it may say next, and what may befall it. Honest unless a
 * fault says otherwise. Knows nothing of the loop.
 *
 * On a `fifo` wire frames wait in both directions and a death cuts what is on its way anywhere. On a
 * `rendezvous` wire nothing waits, and nothing is lost by that:
 * - Upwards: both ends see their own order only. Delay whatever a process does until just before the
 *   loop hears of it: the loop hears the same in the same order. What was sent and lost is then never
 *   said. What was sent before a kill and heard after it is said by a process that has yet to die.
 * - Downwards: a process does nothing observable because of a frame before it speaks, so it reads at
 *   once and answers when it likes. Only `abort` and `stop` forbid something after they were read;
 *   they are read with their answer, and until then the process goes on.
 * `exhaustive.test.ts` compares what the loop goes through on either wire.
 */
import { protocol } from "../../../src-ts/machines/Worker.js";
import type { Configuration, Fault } from "./configuration.js";
import { Broken, type Draft } from "./draft.js";
import type { Loop } from "./loop.js";
import {
  type Down,
  goneSlot,
  type Held,
  type Process,
  promptTokens,
  requestName,
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
  readonly apply: (loop: Loop) => void;
}

const capabilities = { contextMax: 9, kvBytesPerToken: 1, kvBytesFixed: 0, weightsBytes: 1 };

/** A frame goes down to the process. */
export function obey(draft: Draft, worker: number, frame: Down): void {
  const { process } = draft.worker(worker);
  // Before it is launched there is no link to write to.
  if (process === null || process.stage === "dead" || process.stage === "launched") return;
  if (draft.configuration.wire === "fifo")
    draft.changeProcess(worker, { down: [...process.down, frame] });
  else read(draft, worker, frame);
}

function read(draft: Draft, worker: number, frame: Down): void {
  const process = draft.worker(worker).process!;
  switch (frame.type) {
    case "load":
      return draft.changeProcess(worker, { stage: "loading" });
    case "stop":
      return draft.changeProcess(worker, { askedToStop: true });
    case "prepare":
      return draft.changeProcess(worker, { preparing: [...process.preparing, frame.id] });
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

function admit(
  draft: Draft,
  worker: number,
  { held }: Process,
  { id, emitted }: Extract<Down, { type: "admit" }>,
): void {
  if (id !== goneSlot && held.some((one) => one.id === id))
    throw new Broken("a slot is admitted once");
  const admitted: Held = { id, next: emitted, prefilled: false, aborting: false };
  draft.changeProcess(worker, { held: [...held, admitted] });
}

/** The process says something; it reaches the loop now, or waits on the wire. */
function say(loop: Loop, worker: number, frame: Up): void {
  const { draft } = loop;
  const { process } = draft.worker(worker);
  if (draft.configuration.wire === "fifo")
    draft.changeProcess(worker, { up: [...process!.up, frame] });
  else hear(loop, worker, loop.supervisors.epoch(worker), frame);
}

/** As `Supervisor.events` and `Supervisor.receive` have it. */
function hear(loop: Loop, worker: number, saidIn: number, frame: Up): void {
  const { draft, supervisors } = loop;
  const current = supervisors.epoch(worker);
  const epoch = draft.omits("epoch check") ? current : saidIn;
  if (epoch !== current) return;
  switch (frame.type) {
    case "garbage":
      return supervisors.condemn(worker);
    case "hello":
      return supervisors.post(worker, { kind: "hello", epoch, protocol });
    case "ready":
      draft.changeWorker(worker, { outOfMemory: false });
      return supervisors.post(worker, { kind: "loaded", epoch, capabilities, at: 0 });
    case "loadFailed":
      draft.changeWorker(worker, { outOfMemory: false });
      return supervisors.post(worker, { kind: "loadFailed", epoch });
    case "outOfMemory":
      return draft.changeWorker(worker, { outOfMemory: true });
    default:
      supervisors.post(worker, { kind: "progressed", epoch, at: 0 });
      return loop.receive(worker, frame);
  }
}

/** Everything that this worker's process may do, or suffer. */
export function processMoves(draft: Draft, worker: number): Move[] {
  const { process, ghost, timers } = draft.worker(worker);
  const moves: Move[] = [];
  if (ghost) moves.push(...ghosts(worker));
  if (process === null) return moves;
  const name = workerName(worker);
  if (process.up.length > 0) moves.push(deliver(worker, process.up[0]!));
  if (process.stage === "dead") return [...moves, ...afterDeath(draft, worker, process)];
  if (process.killed || (process.askedToStop && !process.hung)) moves.push(...exits(draft, worker));
  if (process.hung)
    moves.push({
      label: `${name} goes on`,
      owed: false,
      apply: ({ draft }) => draft.changeProcess(worker, { hung: false }),
    });
  else moves.push(...acts(draft, worker, process));
  if (draft.server.faultsLeft > 0) moves.push(...faults(draft, worker, process));
  // Whoever is killed is past making anybody patient: only `stop` still counts.
  if (process.hung && timers.length > 0) moves.push(...impatience(draft, worker));
  return moves;
}

function acts(draft: Draft, worker: number, process: Process): Move[] {
  const [next] = process.down;
  const moves = next === undefined ? [] : [reads(worker, next)];
  switch (process.stage) {
    case "launched":
      return process.killed ? moves : [...moves, launch(worker)];
    case "silent":
      return [...moves, frame(worker, { type: "hello" }, { stage: "greeted" })];
    case "loading":
      return [...moves, frame(worker, { type: "ready" }, { stage: "up" })];
    case "up":
      for (const held of process.held) moves.push(...works(draft.configuration, worker, held));
      for (const id of process.preparing) moves.push(...prepares(draft.configuration, worker, id));
      return moves;
    default:
      return moves;
  }
}

function launch(worker: number): Move {
  return {
    label: `${workerName(worker)} is launched`,
    owed: true,
    apply: ({ draft, supervisors }) => {
      draft.changeProcess(worker, { stage: "silent" });
      supervisors.post(worker, { kind: "spawned", epoch: supervisors.epoch(worker), pid: 7 });
    },
  };
}

function reads(worker: number, next: Down): Move {
  return {
    label: `${workerName(worker)} reads ${next.type}`,
    owed: true,
    apply: ({ draft }) => {
      const { down } = draft.worker(worker).process!;
      draft.changeProcess(worker, { down: down.slice(1) });
      read(draft, worker, next);
    },
  };
}

function deliver(worker: number, next: Up): Move {
  return {
    label: `${workerName(worker)}'s ${next.type} arrives`,
    owed: true,
    apply: (loop) => {
      const { up } = loop.draft.worker(worker).process!;
      loop.draft.changeProcess(worker, { up: up.slice(1) });
      hear(loop, worker, loop.supervisors.epoch(worker), next);
    },
  };
}

function frame(worker: number, said: Up, change: Partial<Process>, owed = true): Move {
  const about = "id" in said ? ` of ${slotName(said.id)}` : "";
  const index = said.type === "token" ? ` ${said.index}` : "";
  return {
    label: `${workerName(worker)} says ${said.type}${index}${about}`,
    owed,
    frameOf: worker,
    apply: (loop) => {
      loop.draft.changeProcess(worker, change);
      say(loop, worker, said);
    },
  };
}

const slotName = (id: number): string =>
  id === goneSlot ? "a slot that has gone" : requestName(id - 1);

/** What it may say of one request that it holds. */
function works(configuration: Configuration, worker: number, held: Held): Move[] {
  const { id, next, prefilled, aborting } = held;
  const { tokensMax, liberties, wire } = configuration;
  // It could go on for ever: what is on the wire already is of a slot that has gone just as well.
  if (id === goneSlot && wire === "fifo") return [];
  const over = (said: Up, owed = true): Move => heldFrame(worker, id, said, undefined, owed);
  const moves: Move[] = [];
  if (aborting) moves.push(over({ type: "aborted", id }));
  if (next < tokensMax || id === goneSlot) {
    const total = promptTokens + next;
    if (!prefilled)
      moves.push(
        heldFrame(worker, id, { type: "prefill", id, done: total, total }, { prefilled: true }),
      );
    moves.push(
      heldFrame(
        worker,
        id,
        { type: "token", id, index: next },
        { prefilled: true, next: next + 1 },
      ),
    );
    if (liberties.includes("stopEarly")) moves.push(over({ type: "ended", id }, false));
  } else moves.push(over({ type: "ended", id }));
  if (liberties.includes("refuse") && !prefilled) moves.push(over({ type: "refused", id }, false));
  return moves;
}

function heldFrame(
  worker: number,
  id: number,
  said: Up,
  change: Partial<Held> | undefined,
  owed = true,
): Move {
  const move = frame(worker, said, {}, owed);
  return {
    ...move,
    apply: (loop) => {
      const { held } = loop.draft.worker(worker).process!;
      loop.draft.changeProcess(worker, {
        held: change
          ? held.map((one) => (one.id === id ? { ...one, ...change } : one))
          : held.filter((one) => one.id !== id),
      });
      say(loop, worker, said);
    },
  };
}

function prepares({ liberties }: Configuration, worker: number, id: number): Move[] {
  const answer = (said: Up, owed: boolean): Move => ({
    ...frame(worker, said, {}, owed),
    apply: (loop) => {
      const { preparing } = loop.draft.worker(worker).process!;
      loop.draft.changeProcess(worker, { preparing: preparing.filter((one) => one !== id) });
      say(loop, worker, said);
    },
  });
  const moves = [answer({ type: "prepared", id }, true)];
  if (liberties.includes("refuse")) moves.push(answer({ type: "refused", id }, false));
  return moves;
}

// Going.

const dead: Partial<Process> = {
  stage: "dead",
  hung: false,
  askedToStop: false,
  killed: false,
  held: [],
  preparing: [],
  down: [],
};

/** It dies and leaves so much of what it said on the wire. */
function dies(draft: Draft, worker: number, why: string, fault: boolean): Move[] {
  const { up } = draft.worker(worker).process!;
  return Array.from({ length: up.length + 1 }, (_, kept) => ({
    label: `${workerName(worker)} ${why}${kept < up.length ? `, ${up.length - kept} frames cut` : ""}`,
    owed: !fault,
    apply: ({ draft }) => {
      const linkClosed = draft.worker(worker).process!.stage === "launched";
      draft.changeProcess(worker, { ...dead, linkClosed, up: up.slice(0, kept) });
      if (fault) draft.spendFault();
    },
  }));
}

/** As it was told to, or had to. On a wire where nothing waits the exit is seen at once. */
function exits(draft: Draft, worker: number): Move[] {
  if (draft.configuration.wire === "fifo") return dies(draft, worker, "ends", false);
  return [exit(worker, false)];
}

function exit(worker: number, ghost: boolean): Move {
  const trail = ghost ? ", and frames of it are still to come" : "";
  return {
    label: `${workerName(worker)} has exited${trail}`,
    owed: !ghost,
    apply: ({ draft, supervisors }) => {
      if (ghost) draft.spendFault();
      draft.changeWorker(worker, { process: null, ghost: ghost || draft.worker(worker).ghost });
      const epoch = supervisors.epoch(worker);
      supervisors.post(worker, {
        kind: "exited",
        epoch,
        code: 1,
        signal: "",
        at: 0,
        jitter: 0.5,
      });
    },
  };
}

function afterDeath(draft: Draft, worker: number, { up, linkClosed }: Process): Move[] {
  if (up.length > 0) return [];
  const moves = [exit(worker, false)];
  if (draft.configuration.faults.includes("ghost") && draft.server.faultsLeft > 0)
    moves.push(exit(worker, true));
  if (linkClosed) return moves;
  return [
    ...moves,
    {
      label: `${workerName(worker)}'s link is closed`,
      owed: true,
      apply: ({ draft, supervisors }) => {
        draft.changeProcess(worker, { linkClosed: true });
        supervisors.post(worker, { kind: "closed", epoch: supervisors.epoch(worker) });
      },
    },
  ];
}

/** What an incarnation that has gone may still seem to say; `none` is the end of it. */
function ghosts(worker: number): Move[] {
  const said: Up[] = [
    { type: "hello" },
    { type: "ready" },
    { type: "token", id: goneSlot, index: 0 },
  ];
  const name = workerName(worker);
  const frames = said.map((frame) => ({
    label: `${name}: ${frame.type} of the incarnation before arrives`,
    owed: false,
    apply: (loop: Loop) => {
      hear(loop, worker, loop.supervisors.epoch(worker) - 1, frame);
    },
  }));
  const closed: Move = {
    label: `${name}: the link of the incarnation before is closed`,
    owed: false,
    apply: ({ draft, supervisors }) => {
      draft.changeWorker(worker, { ghost: false });
      supervisors.post(worker, { kind: "closed", epoch: supervisors.epoch(worker) - 1 });
    },
  };
  return [...frames, closed];
}

// Faults.

function faults(draft: Draft, worker: number, process: Process): Move[] {
  const kinds = draft.configuration.faults;
  return kinds.flatMap((kind) => faultMoves(draft, worker, process, kind));
}

function faultMoves(draft: Draft, worker: number, process: Process, kind: Fault): Move[] {
  const spoken = process.stage !== "launched" && !process.hung;
  const name = workerName(worker);
  switch (kind) {
    case "die":
      return dies(draft, worker, "dies", true);
    case "hang":
      if (process.hung) return [];
      return [
        {
          label: `${name} hangs`,
          owed: false,
          apply: ({ draft }) => {
            draft.changeProcess(worker, { hung: true });
            draft.spendFault();
          },
        },
      ];
    case "outOfMemory":
      return process.stage === "up" && spoken ? [last(worker, { type: "outOfMemory" }, dead)] : [];
    case "loadFails":
      return process.stage === "loading" && spoken
        ? [last(worker, { type: "loadFailed" }, dead)]
        : [];
    case "garbage":
      return spoken ? [last(worker, { type: "garbage" }, {})] : [];
    case "lie":
      return process.stage === "up" && spoken ? lies(draft, worker, process) : [];
    case "ghost":
      return []; // at the exit
  }
}

/** A frame that is a fault. */
function last(worker: number, said: Up, change: Partial<Process>): Move {
  return {
    ...frame(worker, said, change, false),
    apply: (loop) => {
      loop.draft.spendFault();
      // Said first: the dead do not write.
      say(loop, worker, said);
      loop.draft.changeProcess(worker, change);
    },
  };
}

/** What can't be true; told while the wire is a rendezvous, so that the liar is known. */
function lies(draft: Draft, worker: number, { held }: Process): Move[] {
  if (draft.configuration.wire === "fifo") return [];
  const others = draft.requests.flatMap((one) =>
    one?.slot && one.slot.worker !== worker ? [one.slot.id] : [],
  );
  return [
    lie(worker, { type: "hello" }, false),
    ...others.map((id) => lie(worker, { type: "token", id, index: 0 }, false)),
    ...others.map((id) => lie(worker, { type: "ended", id }, false)),
    ...held.flatMap((one) => liesAbout(one).map((said) => lie(worker, said, one.aborting))),
  ];
}

function liesAbout({ id, next, prefilled, aborting }: Held): Up[] {
  if (id === goneSlot) return [];
  const total = promptTokens + next;
  const said: Up[] = [{ type: "token", id, index: next + 1 }];
  if (!aborting) said.push({ type: "aborted", id });
  if (!prefilled) said.push({ type: "prefill", id, done: total + 1, total });
  return said;
}

/** `ignorable`: about a request that is being ended, of which nobody listens to details. */
function lie(worker: number, said: Up, ignorable: boolean): Move {
  const move = last(worker, said, {});
  return {
    ...move,
    label: `${move.label}, a lie`,
    apply: (loop) => {
      loop.draft.liar = worker;
      loop.draft.mayBeIgnored ||= ignorable;
      move.apply(loop);
    },
  };
}

/** Patience ends only with who stands still: that a healthy one is slow is the fault `hang`. */
function impatience(draft: Draft, worker: number): Move[] {
  const { state, timers } = draft.worker(worker);
  const { suspectMs, stallMs } = state.memory.policy;
  return timers.flatMap((timer) => {
    if (timer === "hello" || timer === "load") return [fires(worker, timer, 0)];
    if (timer !== "watchdog" || draft.omits("watchdog")) return [];
    const stalled = fires(worker, timer, stallMs);
    return state.kind === "ready" ? [fires(worker, timer, suspectMs), stalled] : [stalled];
  });
}

export function fires(
  worker: number,
  timer: "hello" | "load" | "watchdog" | "stop" | "drain" | "backoff" | "probe",
  at = 0,
): Move {
  const late = at > 0 ? ` after ${at} ms` : "";
  return {
    label: `${workerName(worker)}: the ${timer} timer fires${late}`,
    owed: true,
    apply: ({ supervisors }) => {
      supervisors.disarm(worker, timer);
      supervisors.post(worker, { kind: "timer", timer, at });
    },
  };
}
