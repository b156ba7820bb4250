/** What may befall a process, each at the price of one fault, and the timers that then lose patience. */
import type * as Worker from "../../../src-ts/machines/Worker.js";
import { disarm } from "./books.js";
import type { Fault } from "./configuration.js";
import type { Draft } from "./draft.js";
import { dead, dies } from "./going.js";
import { frame, type Move, say } from "./wire.js";
import { goneSlot, type Held, type Process, promptTokens, type Up, workerName } from "./world.js";

export function faults(draft: Draft, worker: number, process: Process): Move[] {
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
      return process.stage === "up" && spoken
        ? [last(draft, worker, { type: "outOfMemory" }, dead)]
        : [];
    case "loadFails":
      return process.stage === "loading" && spoken
        ? [last(draft, worker, { type: "loadFailed" }, dead)]
        : [];
    case "garbage":
      return spoken ? [last(draft, worker, { type: "garbage" }, {})] : [];
    case "lie":
      return process.stage === "up" && spoken ? lies(draft, worker, process) : [];
    case "ghost":
      return []; // at the exit
  }
}

/** A frame that is a fault. */
function last(draft: Draft, worker: number, said: Up, change: Partial<Process>): Move {
  return {
    ...frame(draft, worker, said, change, false),
    apply: (turn) => {
      turn.draft.spendFault();
      // Said first: the dead do not write.
      say(turn, worker, said);
      turn.draft.changeProcess(worker, change);
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
    lie(draft, worker, { type: "hello" }, false),
    ...others.map((id) => lie(draft, worker, { type: "token", id, index: 0 }, false)),
    ...others.map((id) => lie(draft, worker, { type: "ended", id }, false)),
    ...held.flatMap((one) =>
      liesAbout(draft, one).map((said) => lie(draft, worker, said, one.aborting)),
    ),
  ];
}

function liesAbout({ configuration }: Draft, { id, next, prefilled, aborting }: Held): Up[] {
  if (id === goneSlot) return [];
  const total = promptTokens + next;
  const said: Up[] = [{ type: "token", id, index: next + 1 }];
  // Where no more is wanted, the right index is one too many.
  if (next === configuration.tokensMax) said.push({ type: "token", id, index: next });
  if (!aborting) said.push({ type: "aborted", id });
  if (!prefilled) said.push({ type: "prefill", id, done: total + 1, total });
  return said;
}

/** `ignorable`: about a request that is being ended, of which nobody listens to details. */
function lie(draft: Draft, worker: number, said: Up, ignorable: boolean): Move {
  const move = last(draft, worker, said, {});
  return {
    ...move,
    label: `${move.label}, a lie`,
    apply: (turn) => {
      turn.draft.liar = worker;
      turn.draft.mayBeIgnored ||= ignorable;
      move.apply(turn);
    },
  };
}

/** Patience ends only with who stands still: that a healthy one is slow is the fault `hang`. */
export function impatience(draft: Draft, worker: number, state: Worker.State): Move[] {
  const { suspectMs, stallMs } = state.memory.policy;
  return draft.worker(worker).timers.flatMap((timer) => {
    if (timer === "hello" || timer === "load") return [fires(worker, timer)];
    if (timer !== "watchdog" || !("liveness" in state)) return [];
    const stalled = fires(worker, timer, stallMs, state.liveness);
    return state.kind === "ready"
      ? [fires(worker, timer, suspectMs, state.liveness), stalled]
      : [stalled];
  });
}

/** Times only count from the last that was heard: nothing else here is older or younger for it. */
export function fires(
  worker: number,
  timer: Worker.Timer,
  quietMs = 0,
  liveness?: Worker.Liveness,
): Move {
  const workerId = workerName(worker);
  return {
    label: `${workerId}: the ${timer} timer fires${quietMs > 0 ? ` after ${quietMs} ms` : ""}`,
    owed: true,
    apply: (turn) => {
      disarm(turn.draft, worker, timer);
      const at = liveness && liveness.quietSince + liveness.allowanceMs + quietMs;
      turn.post({ kind: "workerTimer", workerId, timer }, at);
    },
  };
}
