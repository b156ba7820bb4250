/** What clients and the keeper of stored responses say of requests. */
import { law } from "./draft.js";
import { identityOf } from "./terms.js";
import type { Turn } from "./turn.js";
import { newRequest, promptTokens, requestName, type Unsendable } from "./world.js";

export function comesIn(turn: Turn, request: number, unsendable: Unsendable): void {
  const { configuration, requests } = turn.draft;
  const survives = configuration.liberties.includes("store");
  requests[request] = { ...newRequest, survives, unsendable };
  const identity = identityOf(configuration, requestName(request), request);
  const tokensWanted = configuration.tokensMax;
  turn.post({ kind: "submit", submission: { ...identity, tokensWanted, survives } });
  const isAway = requests[request] === null;
  law(isAway === !isOpen(turn), `${identity.requestId} comes in exactly if it can be served`);
}

function isOpen(turn: Turn): boolean {
  const { server, workers } = turn.draft;
  if (server.phase !== "open") return false;
  return [...workers.keys()].some((worker) => turn.worker(worker).state.kind !== "broken");
}

/** Its first entry is on disk, or can't be. */
export function isStored(turn: Turn, request: number, kind: "stored" | "unstorable"): void {
  turn.draft.changeRequest(request, { storing: false });
  turn.post({ kind, requestId: requestName(request) });
}

/** Accepted by an earlier server, with so many tokens out. */
export function isRestored(turn: Turn, request: number, logged: number): void {
  const before = { logged, accepted: true, survives: true, furthest: promptTokens + logged };
  turn.draft.requests[request] = { ...newRequest, ...before };
  restore(turn, requestName(request), request, logged);
}

export function restore(turn: Turn, requestId: string, request: number, emitted: number): void {
  const { configuration } = turn.draft;
  const { tokensMax } = configuration;
  const identity = identityOf(configuration, requestId, request);
  const cost = { promptTokens, newTokens: tokensMax, kvBytes: 1 };
  const started = emitted > 0;
  turn.post({ kind: "restore", restored: { ...identity, emitted, tokensMax, cost, started } });
}
