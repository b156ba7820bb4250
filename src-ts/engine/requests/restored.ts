/** An accepted request of an earlier process, as a live request of this one. */
import type { Submission } from "../api.js";
import type { Acceptance } from "../journal.js";
import type { Clock } from "../ports.js";
import { type LiveRequest, newRequest, nothingToPrepare } from "./content.js";

export function restoredRequest(acceptance: Acceptance, clock: Clock): LiveRequest {
  const { id, model: modelId, promptTokens, maxTokens, sampling, cost, chat } = acceptance;
  const submission = submissionOf(acceptance, clock.wall());
  const settle = { accept: answered, refuse: answered };
  const given = { id, modelId, submission, idempotencyId: undefined, settle };
  const request = newRequest({ ...given, now: clock.now() });
  return { ...request, chat, promptTokens, maxTokens, sampling, cost };
}

function submissionOf(acceptance: Acceptance, wall: number): Submission {
  const { id, owner, clientId, priority, sampling, constraint } = acceptance;
  const { maxTokens, echo, deadlineAt } = acceptance;
  return {
    input: nothingToPrepare,
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
    idPrefix: id.slice(0, id.indexOf("_")),
  };
}

// Its client was answered by the process that accepted it.
function answered(): void {}
