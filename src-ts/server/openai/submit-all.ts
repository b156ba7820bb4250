/** One request, several responses: all are accepted or none is. */
import { setMaxListeners } from "node:events";
import type { Response, SubmissionInput } from "../../engine/api.js";
import { isServingError } from "../../errors.js";
import type { ServedEngine } from "../access/gate.js";

/**
 * Submits all or none: when one is refused, the others are given up or cancelled. `perPrompt`: answers to the
 * same prompt, which stand next to each other. `onRefusal`: throws what is said of this one.
 */
export async function submitAll(
  engine: Pick<ServedEngine, "together">,
  submissions: readonly SubmissionInput[],
  perPrompt: number,
  signal: AbortSignal,
  onRefusal: (error: unknown, index: number) => never = rethrow,
): Promise<Response[]> {
  const call = engine.together(submissions, perPrompt);
  const siblings = new AbortController();
  const either = AbortSignal.any([signal, siblings.signal]);
  // Each submission listens: Node takes more than ten for a leak.
  setMaxListeners(submissions.length + 1, either);
  const outcomes = await Promise.allSettled(
    submissions.map((submission, index) =>
      call.submit(submission, either).catch((error: unknown) => {
        siblings.abort();
        return onRefusal(error, index);
      }),
    ),
  );
  const refusal = firstRefusal(outcomes);
  if (refusal === undefined)
    return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<Response>).value);
  for (const outcome of outcomes) if (outcome.status === "fulfilled") outcome.value.cancel();
  throw refusal;
}

function rethrow(error: unknown): never {
  throw error;
}

/** The first that is not merely the echo of another's. */
function firstRefusal(outcomes: readonly PromiseSettledResult<Response>[]): unknown {
  const reasons = outcomes.flatMap((outcome): unknown[] =>
    outcome.status === "rejected" ? [outcome.reason] : [],
  );
  const isOwn = (reason: unknown) => !(isServingError(reason) && reason.code === "cancelled");
  return reasons.find(isOwn) ?? reasons[0];
}
