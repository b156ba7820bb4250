/** One honest worker process as the orchestrator meets it: what it may do and say next. Knows nothing of the latter. */
import type { Draft } from "./draft.js";
import { faults, impatience } from "./faults.js";
import { afterDeath, dies, exits, ghosts } from "./going.js";
import type { Turn } from "./turn.js";
import { frame, hear, type Move, read, say } from "./wire.js";
import {
  type Down,
  goneSlot,
  type Held,
  type Preparing,
  type Process,
  promptTokens,
  type Up,
  workerName,
} from "./world.js";

/** Everything that this worker's process may do, or suffer. */
export function processMoves(turn: Turn, worker: number): Move[] {
  const { draft } = turn;
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
  if (process.hung && timers.length > 0)
    moves.push(...impatience(draft, worker, turn.worker(worker).state));
  return moves;
}

function acts(draft: Draft, worker: number, process: Process): Move[] {
  const [next] = process.down;
  const moves = next === undefined ? [] : [reads(worker, next)];
  switch (process.stage) {
    case "launched":
      return process.killed ? moves : [...moves, launch(worker)];
    case "silent":
      return [...moves, frame(draft, worker, { type: "hello" }, { stage: "greeted" })];
    case "loading":
      return [...moves, frame(draft, worker, { type: "ready" }, { stage: "up" })];
    case "up":
      for (const held of process.held)
        if (held.deadly) moves.push(...killed(draft, worker, "runs"));
        else moves.push(...works(draft, worker, held));
      for (const one of process.preparing) moves.push(...prepares(draft, worker, one));
      return moves;
    default:
      return moves;
  }
}

function launch(worker: number): Move {
  return {
    label: `${workerName(worker)} is launched`,
    owed: true,
    apply: (turn) => {
      turn.draft.changeProcess(worker, { stage: "silent" });
      const { epoch } = turn.draft.worker(worker);
      turn.post({ kind: "spawned", workerId: workerName(worker), epoch, pid: 7 });
    },
  };
}

function reads(worker: number, next: Down): Move {
  return {
    label: `${workerName(worker)} reads ${next.type}`,
    owed: true,
    apply: (turn) => {
      const { down } = turn.draft.worker(worker).process!;
      turn.draft.changeProcess(worker, { down: down.slice(1) });
      read(turn, worker, next);
    },
  };
}

function deliver(worker: number, next: Up): Move {
  return {
    label: `${workerName(worker)}'s ${next.type} arrives`,
    owed: true,
    apply: (turn) => {
      const { process, epoch } = turn.draft.worker(worker);
      turn.draft.changeProcess(worker, { up: process!.up.slice(1) });
      hear(turn, worker, epoch, next);
    },
  };
}

/** What it may say of one request that it holds. */
function works(draft: Draft, worker: number, held: Held): Move[] {
  const { id, next, prefilled, aborting } = held;
  const { tokensMax, liberties, wire } = draft.configuration;
  // It could go on for ever: what is on the wire already is of a slot that has gone just as well.
  if (id === goneSlot && wire === "fifo") return [];
  const over = (said: Up, owed = true): Move => heldFrame(draft, worker, id, said, undefined, owed);
  const moves: Move[] = [];
  if (aborting) moves.push(over({ type: "aborted", id }));
  if (next < tokensMax || id === goneSlot) {
    const total = promptTokens + next;
    if (!prefilled)
      moves.push(
        heldFrame(
          draft,
          worker,
          id,
          { type: "prefill", id, done: total, total },
          { prefilled: true },
        ),
      );
    moves.push(
      heldFrame(
        draft,
        worker,
        id,
        { type: "token", id, index: next },
        { prefilled: true, next: next + 1 },
      ),
    );
    if (liberties.includes("stopEarly")) moves.push(over({ type: "ended", id }, false));
  } else if (next === 0 && !prefilled) {
    // Only the prompt was wanted.
    const said = { type: "prefill", id, done: promptTokens, total: promptTokens } as const;
    moves.push(heldFrame(draft, worker, id, said, { prefilled: true }));
  } else moves.push(over({ type: "ended", id }));
  if (liberties.includes("refuse") && !prefilled) moves.push(over({ type: "refused", id }, false));
  return moves;
}

function heldFrame(
  draft: Draft,
  worker: number,
  id: number,
  said: Up,
  change: Partial<Held> | undefined,
  owed = true,
): Move {
  const move = frame(draft, worker, said, {}, owed);
  return {
    ...move,
    apply: (turn) => {
      const { held } = turn.draft.worker(worker).process!;
      turn.draft.changeProcess(worker, {
        held: change
          ? held.map((one) => (one.id === id ? { ...one, ...change } : one))
          : held.filter((one) => one.id !== id),
      });
      say(turn, worker, said);
    },
  };
}

/** It dies of what it does, without a fault from outside. */
function killed(draft: Draft, worker: number, does: string): Move[] {
  return dies(draft, worker, `dies of what it ${does}`, false).map((move) => ({
    ...move,
    apply: (turn) => {
      const { server } = turn.draft;
      turn.draft.server = { ...server, kills: server.kills + 1 };
      move.apply(turn);
    },
  }));
}

function prepares(draft: Draft, worker: number, one: Preparing): Move[] {
  if (one.deadly) return killed(draft, worker, "prepares");
  const { id } = one;
  const { liberties } = draft.configuration;
  const answer = (said: Up, owed: boolean): Move => ({
    ...frame(draft, worker, said, {}, owed),
    apply: (turn) => {
      const { preparing } = turn.draft.worker(worker).process!;
      const rest = preparing.toSpliced(
        preparing.findIndex((one) => one.id === id && !one.deadly),
        1,
      );
      turn.draft.changeProcess(worker, { preparing: rest });
      say(turn, worker, said);
    },
  });
  const moves = [answer({ type: "prepared", id }, true)];
  if (liberties.includes("refuse")) moves.push(answer({ type: "unpreparable", id }, false));
  return moves;
}
