/** Everything that may happen next in a world. Knows who may say what, and no rule of the orchestrator. */
import * as Batch from "../../../src-ts/machines/Batch.js";
import type { RequestView, View, WorkerView } from "../../../src-ts/machines/Orchestrator.js";
import { comesIn, isRestored, isStored } from "./clients.js";
import type { Draft } from "./draft.js";
import { fires } from "./faults.js";
import { isSuspect } from "./laws.js";
import { dispatch, preempt } from "./liberties.js";
import { processMoves } from "./process.js";
import { modelId, reductionMs } from "./terms.js";
import type { Turn } from "./turn.js";
import type { Move } from "./wire.js";
import { promptTokens, requestName, requestOf, workerName } from "./world.js";

/** `view`: of the orchestrator, which stands between two turns. */
export function movesOf(turn: Turn, view: View): Move[] {
  const { draft } = turn;
  return [
    ...clientMoves(draft),
    ...serverMoves(draft),
    ...schedulerMoves(draft, view),
    ...view.workers.flatMap((seen, worker) => workerMoves(turn, worker, seen)),
  ];
}

function clientMoves(draft: Draft): Move[] {
  const { liberties } = draft.configuration;
  const { phase } = draft.server;
  const moves: Move[] = [];
  const absent = draft.requests.indexOf(null);
  if (absent !== -1) moves.push(...arrivals(draft, absent));
  if (absent !== -1 && phase === "open" && liberties.includes("restore"))
    moves.push(...restores(draft, absent));
  for (const [request, part] of draft.requests.entries()) {
    if (part === null || part.closed) continue;
    const requestId = requestName(request);
    if (part.storing)
      moves.push(
        owed(`${requestId} is stored`, (turn) => isStored(turn, request, "stored")),
        outside(`${requestId} can't be stored`, (turn) => isStored(turn, request, "unstorable")),
      );
    for (const kind of ["cancel", "deadline"] as const)
      if (liberties.includes(kind))
        moves.push(outside(`${requestId}: ${kind}`, (turn) => turn.post({ kind, requestId })));
  }
  return moves;
}

function arrivals({ configuration }: Draft, request: number): Move[] {
  const large = configuration.liberties.includes("unsendable");
  const kinds = large ? (["nothing", "prompt", "admission"] as const) : (["nothing"] as const);
  return kinds.map((kind) => {
    const which = kind === "nothing" ? "" : `, and no frame holds its ${kind}`;
    return outside(`${requestName(request)} comes in${which}`, (turn) =>
      comesIn(turn, request, kind),
    );
  });
}

/** With any number of tokens out, all of them included. */
function restores({ configuration }: Draft, request: number): Move[] {
  return Array.from({ length: configuration.tokensMax + 1 }, (_, logged) =>
    outside(`${requestName(request)} is restored with ${logged} tokens out`, (turn) =>
      isRestored(turn, request, logged),
    ),
  );
}

const owed = (label: string, apply: Move["apply"]): Move => ({ label, owed: true, apply });
const outside = (label: string, apply: Move["apply"]): Move => ({ label, owed: false, apply });

function serverMoves({ server, configuration }: Draft): Move[] {
  if (!configuration.liberties.includes("close")) return [];
  const enter = (phase: typeof server.phase, kind: "drain" | "shutDown" | "stop"): Move =>
    outside(`the server is ${phase}`, (turn) => {
      turn.draft.server = { ...turn.draft.server, phase };
      turn.post({ kind });
    });
  switch (server.phase) {
    case "open":
      return [enter("draining", "drain")];
    case "draining":
      return [enter("shutDown", "shutDown")];
    case "shutDown":
      return [enter("closed", "stop")];
    case "closed":
      return [];
  }
}

function schedulerMoves({ configuration }: Draft, view: View): Move[] {
  if (configuration.plan === "real") return [];
  return view.requests.flatMap((seen) => {
    const moves: Move[] = [];
    const request = requestOf(seen.requestId);
    for (const [worker, bin] of view.workers.entries())
      if (seen.state.kind === "queued" && hasRoom(seen, bin))
        moves.push({
          label: `${seen.requestId} is sent to ${bin.workerId}`,
          owed: true,
          apply: (turn) => dispatch(turn, request, worker),
        });
    const runs = seen.state.kind === "prefilling" || seen.state.kind === "decoding";
    if (configuration.liberties.includes("preempt") && runs)
      moves.push(outside(`${seen.requestId} is preempted`, (turn) => preempt(turn, request)));
    return moves;
  });
}

/** Whether the scheduler may send this request there now: what it promises, and no more. */
function hasRoom(
  { requestId, state, emitted }: RequestView,
  { accepting, batch, preparations }: WorkerView,
): boolean {
  if (!accepting || batch === undefined) return false;
  const exclusive = isSuspect(state);
  if (exclusive && preparations.length > 0) return false;
  const cost = { promptTokens: promptTokens + emitted, newTokens: 0, kvBytes: 1 };
  const join = { kind: "join", requestId, cost, key: modelId, exclusive, at: 0 } as const;
  return Batch.transition(batch, join).ok;
}

function workerMoves(turn: Turn, worker: number, { reduction, batch }: WorkerView): Move[] {
  const { draft } = turn;
  const { windowArmed, timers } = draft.worker(worker);
  const moves = processMoves(turn, worker);
  const workerId = workerName(worker);
  if (windowArmed)
    moves.push({
      label: `${workerId}: the batch window ends`,
      owed: true,
      apply: (turn) => {
        turn.draft.changeWorker(worker, { windowArmed: false });
        turn.post({ kind: "windowElapsed", workerId });
      },
    });
  // These measure no process's patience: they fire whenever they are armed.
  for (const timer of timers)
    if (timer === "stop" || timer === "drain" || timer === "backoff" || timer === "probe")
      moves.push(fires(worker, timer));
  // Looked at when a batch is opened; the reduction is over by then, or not.
  if (reduction !== undefined && reduction.until > draft.now && batch === undefined)
    moves.push(
      outside(`${workerId}: it is long ago that it ran out of memory`, ({ draft }) => {
        draft.now += reductionMs;
      }),
    );
  if (draft.server.ordersLeft > 0)
    moves.push(
      outside(`${workerId}: a restart is ordered`, (turn) => {
        const { server } = turn.draft;
        turn.draft.server = { ...server, ordersLeft: server.ordersLeft - 1 };
        turn.post({ kind: "restartWorker", workerId });
      }),
    );
  return moves;
}
