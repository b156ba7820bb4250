/** An accepted request of an earlier process, as a live request of this one. */
import type { Input } from "../../machines/Orchestrator.js";
import type { Acceptance, StoredResponse } from "../journal.js";
import type { Clock } from "../ports.js";
import type { ResponseLog } from "../responses/log.js";
import { type Asked, type Identity, type LiveRequest, newTimes } from "./content.js";

export function restoredRequest(
  acceptance: Acceptance,
  log: ResponseLog,
  clock: Clock,
): LiveRequest {
  const { id, model: modelId, chat, turn, promptTokens, maxTokens, sampling, cost } = acceptance;
  const now = clock.now();
  const asked = askedFor(acceptance, clock.wall());
  const deadlineAt = now + (asked.deadlineMs ?? Number.POSITIVE_INFINITY);
  const settle = { accept: answered, refuse: answered };
  const prompt = { promptTokens, maxTokens, sampling, cost };
  return {
    identity: {
      ...{ id, modelId, asked, chat, turn, settle },
      ...{ arrivedAt: now, deadlineAt, idempotencyId: undefined },
    },
    phase: { kind: "accepted", prompt, log, times: newTimes(now) },
  };
}

/** What the orchestrator is told of it. */
export function restoring(
  { id: requestId, modelId, asked }: Identity,
  stored: StoredResponse,
): Input {
  const { cost, maxTokens: tokensMax } = stored.acceptance;
  const { clientId, priority, deadlineMs = Number.POSITIVE_INFINITY } = asked;
  const emitted = stored.tokens.length;
  const started = stored.entries.some(({ kind }) => kind === "inProgress");
  return {
    kind: "restore",
    restored: {
      ...{ requestId, modelId, clientId, priority, deadlineMs },
      ...{ emitted, tokensMax, cost, started },
    },
  };
}

function askedFor(acceptance: Acceptance, wall: number): Asked {
  const { id, owner, clientId, priority, sampling, constraint } = acceptance;
  const { maxTokens, echo, conversation, deadlineAt } = acceptance;
  return {
    sampling,
    constraint,
    maxTokens,
    owner,
    clientId,
    priority,
    deadlineMs: deadlineAt === undefined ? undefined : Math.max(0, deadlineAt - wall),
    store: true,
    abandonment: { kind: "keep" },
    echo,
    conversation,
    idPrefix: id.slice(0, id.indexOf("_")),
  };
}

// Its client was answered by the process that accepted it.
function answered(): void {}
