/** Everything that may happen next in a world. Knows who may say what, and no rule of the loop. */
import type { Draft } from "./draft.js";
import { fires } from "./faults.js";
import type { Loop } from "./loop.js";
import { processMoves } from "./process.js";
import type { Move } from "./wire.js";
import { requestName, workerName } from "./world.js";

export function movesOf(loop: Loop): Move[] {
  const { draft } = loop;
  return [
    ...clientMoves(draft),
    ...serverMoves(draft),
    ...schedulerMoves(loop),
    ...[...draft.workers.keys()].flatMap((worker) => workerMoves(draft, worker)),
  ];
}

function clientMoves(draft: Draft): Move[] {
  const { liberties } = draft.configuration;
  const moves: Move[] = [];
  const absent = draft.requests.indexOf(null);
  const broken = draft.workers.every(({ state }) => state.kind === "broken");
  if (absent !== -1 && draft.server.phase === "open" && !broken)
    moves.push(outside(`${requestName(absent)} comes in`, (loop) => loop.begin(absent)));
  if (absent !== -1 && draft.server.phase === "open" && liberties.includes("restore"))
    moves.push(...restores(draft, absent));
  for (const [index, request] of draft.requests.entries()) {
    if (request === null || request.closed) continue;
    for (const kind of ["cancel", "deadline"] as const)
      if (liberties.includes(kind))
        moves.push(
          outside(`${requestName(index)}: ${kind}`, (loop) => loop.postIfLive(index, { kind })),
        );
  }
  return moves;
}

/** With any number of tokens out, all of them included. */
function restores({ configuration }: Draft, request: number): Move[] {
  return Array.from({ length: configuration.tokensMax + 1 }, (_, emitted) =>
    outside(`${requestName(request)} is restored with ${emitted} tokens out`, (loop) =>
      loop.restore(request, emitted),
    ),
  );
}

const outside = (label: string, apply: Move["apply"]): Move => ({ label, owed: false, apply });

function serverMoves({ server, configuration }: Draft): Move[] {
  if (!configuration.liberties.includes("close")) return [];
  const enter = (phase: typeof server.phase, then: Move["apply"]): Move =>
    outside(`the server is ${phase}`, (loop) => {
      loop.draft.server = { ...loop.draft.server, phase };
      then(loop);
    });
  switch (server.phase) {
    case "open":
      return [enter("draining", () => {})];
    case "draining":
      return [enter("shutDown", (loop) => loop.shutDown())];
    case "shutDown":
      return [
        enter("closed", (loop) => {
          for (const worker of loop.draft.workers.keys())
            loop.supervisors.post(worker, { kind: "stop" });
        }),
      ];
    case "closed":
      return [];
  }
}

function schedulerMoves(loop: Loop): Move[] {
  const { configuration, requests, workers } = loop.draft;
  if (configuration.plan === "real") return [];
  const moves: Move[] = [];
  for (const [index, request] of requests.entries()) {
    const name = requestName(index);
    for (const worker of workers.keys())
      if (request?.queued && loop.hasRoom(index, worker))
        moves.push({
          label: `${name} is sent to ${workerName(worker)}`,
          owed: true,
          apply: (loop) => loop.dispatch(index, worker),
        });
    const kind = request?.state.kind;
    if (
      configuration.liberties.includes("preempt") &&
      (kind === "prefilling" || kind === "decoding")
    )
      moves.push(
        outside(`${name} is preempted`, (loop) => loop.postIfLive(index, { kind: "preempt" })),
      );
  }
  return moves;
}

function workerMoves(draft: Draft, worker: number): Move[] {
  const { windowArmed, timers } = draft.worker(worker);
  const moves = processMoves(draft, worker);
  if (windowArmed)
    moves.push({
      label: `${workerName(worker)}: the batch window ends`,
      owed: true,
      apply: (loop) => loop.windowElapsed(worker),
    });
  // These measure no process's patience: they fire whenever they are armed.
  for (const timer of timers)
    if (timer === "stop" || timer === "drain" || timer === "backoff" || timer === "probe")
      moves.push(fires(worker, timer));
  // Looked at when a batch is opened; the squeeze is over by then, or not.
  if (draft.worker(worker).squeezedTo !== 0 && draft.worker(worker).batch === null)
    moves.push(
      outside(`${workerName(worker)}: it is long ago that it ran out of memory`, ({ draft }) =>
        draft.changeWorker(worker, { squeezedTo: 0 }),
      ),
    );
  if (draft.server.ordersLeft > 0 && draft.server.phase !== "closed")
    moves.push(...orders(draft, worker));
  return moves;
}

function orders({ configuration }: Draft, worker: number): Move[] {
  const spend = (loop: Loop): void => {
    const { server } = loop.draft;
    loop.draft.server = { ...server, ordersLeft: server.ordersLeft - 1 };
  };
  return configuration.orders.map((order) =>
    outside(`${workerName(worker)}: ${order} is ordered`, (loop) => {
      spend(loop);
      if (order === "restart") loop.supervisors.restart(worker);
      else loop.supervisors.drain(worker, "restart");
    }),
  );
}
