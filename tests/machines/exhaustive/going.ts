/** How processes end, and what of them may come afterwards. */
import type { Draft } from "./draft.js";
import type { Turn } from "./turn.js";
import { hear, type Move } from "./wire.js";
import { goneSlot, type Process, type Up, workerName } from "./world.js";

export const dead: Partial<Process> = {
  stage: "dead",
  hung: false,
  askedToStop: false,
  killed: false,
  held: [],
  preparing: [],
  down: [],
};

/** It dies and leaves so much of what it said on the wire. */
export function dies(draft: Draft, worker: number, why: string, fault: boolean): Move[] {
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
export function exits(draft: Draft, worker: number): Move[] {
  if (draft.configuration.wire === "fifo") return dies(draft, worker, "ends", false);
  return [exit(worker, false)];
}

function exit(worker: number, ghost: boolean): Move {
  const trail = ghost ? ", and frames of it are still to come" : "";
  return {
    label: `${workerName(worker)} has exited${trail}`,
    owed: !ghost,
    apply: (turn) => {
      const { draft } = turn;
      const { epoch, ghost: before } = draft.worker(worker);
      if (ghost) draft.spendFault();
      draft.changeWorker(worker, { process: null, ghost: ghost || before });
      const workerId = workerName(worker);
      turn.post({ kind: "exited", workerId, epoch, code: 1, signal: "", jitter: 0.5 });
    },
  };
}

export function afterDeath(draft: Draft, worker: number, { up, linkClosed }: Process): Move[] {
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
      apply: (turn) => {
        turn.draft.changeProcess(worker, { linkClosed: true });
        const { epoch } = turn.draft.worker(worker);
        turn.post({ kind: "closed", workerId: workerName(worker), epoch });
      },
    },
  ];
}

/** What an incarnation that has gone may still seem to say; `none` is the end of it. */
export function ghosts(worker: number): Move[] {
  const said: Up[] = [
    { type: "hello" },
    { type: "ready" },
    { type: "token", id: goneSlot, index: 0 },
  ];
  const name = workerName(worker);
  const before = (turn: Turn): number => {
    turn.draft.ghost = worker;
    return turn.draft.worker(worker).epoch - 1;
  };
  const frames = said.map((frame) => ({
    label: `${name}: ${frame.type} of the incarnation before arrives`,
    owed: false,
    apply: (turn: Turn) => hear(turn, worker, before(turn), frame),
  }));
  const closed: Move = {
    label: `${name}: the link of the incarnation before is closed`,
    owed: false,
    apply: (turn) => {
      turn.draft.changeWorker(worker, { ghost: false });
      turn.post({ kind: "closed", workerId: name, epoch: before(turn) });
    },
  };
  return [...frames, closed];
}
