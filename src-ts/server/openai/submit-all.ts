/** One request, several responses: all are accepted or none is. */
import type { Response, SubmissionInput } from "../../engine/api.js";
import { isServingError } from "../../errors.js";
import type { ServedEngine } from "../access/gate.js";

/**
 * Submits all or none: when one is refused, the others are given up or cancelled. `perPrompt`: answers to the
 * same prompt, which stand next to each other.
 */
export async function submitAll(
  engine: Pick<ServedEngine, "together">,
  submissions: readonly SubmissionInput[],
  perPrompt: number,
  signal: AbortSignal,
): Promise<Response[]> {
  const call = engine.together(submissions, perPrompt);
  const siblings = new AbortController();
  const either = AbortSignal.any([signal, siblings.signal]);
  const outcomes = await Promise.allSettled(
    submissions.map((submission) =>
      call.submit(submission, either).catch((error: unknown) => {
        siblings.abort();
        throw error;
      }),
    ),
  );
  const refusal = firstRefusal(outcomes);
  if (refusal === undefined)
    return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<Response>).value);
  for (const outcome of outcomes) if (outcome.status === "fulfilled") outcome.value.cancel();
  throw refusal;
}

/** The first that is not merely the echo of another's. */
function firstRefusal(outcomes: readonly PromiseSettledResult<Response>[]): unknown {
  const reasons = outcomes.flatMap((outcome): unknown[] =>
    outcome.status === "rejected" ? [outcome.reason] : [],
  );
  const isOwn = (reason: unknown) => !(isServingError(reason) && reason.code === "cancelled");
  return reasons.find(isOwn) ?? reasons[0];
}
