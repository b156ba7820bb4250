/** A text completion as submissions: one a choice of each prompt. */
import type { SubmissionInput } from "../../engine/api.js";
import type { CompletionBody } from "../../protocol/completions.js";
import * as limits from "../../protocol/limits.js";
import { type Caller, callerFields } from "./caller.js";
import { checkStreamOptions, conflict } from "./conflict.js";
import { constraintOf } from "./constraint.js";
import { idempotencyOf, ofChoice } from "./idempotency.js";
import { promptInputs } from "./prompts.js";
import { samplingOf, withSeedOffset } from "./sampling.js";
import { tokenLimitOf } from "./token-limit.js";

/** Choices of one prompt stand next to each other. Throws 400 for fields that do not go together. */
export function completionSubmissions(body: CompletionBody, caller: Caller): SubmissionInput[] {
  const inputs = promptInputs(body.prompt);
  const perPrompt = body.n ?? 1;
  checkTogether(body);
  const sampling = samplingOf(body, body.logprobs ?? undefined);
  const constrained = constraintOf(body);
  const maxTokens = tokenLimitOf(body);
  const idempotency = idempotencyOf("completions", caller.idempotencyKey, body);
  return Array.from({ length: inputs.length * perPrompt }, (_, index) => ({
    model: body.model ?? undefined,
    input: inputs[Math.floor(index / perPrompt)]!,
    sampling: withSeedOffset(sampling, index % perPrompt),
    ...constrained,
    maxTokens,
    ...callerFields(caller),
    store: false,
    abandonment: { kind: "cancel" },
    idempotency: ofChoice(idempotency, index),
    idPrefix: "cmpl",
  }));
}

/** Of each prompt how likely its tokens are, where `echo` asks for it. */
export function scoreSubmissions(body: CompletionBody, caller: Caller): SubmissionInput[] {
  const { echo, logprobs } = body;
  if (!echo || logprobs == null) return [];
  return promptInputs(body.prompt).map((input) => ({
    model: body.model ?? undefined,
    input,
    reading: { kind: "score", top: logprobs },
    maxTokens: 0,
    ...callerFields(caller),
    store: false,
    abandonment: { kind: "cancel" },
    idPrefix: "cmpl",
  }));
}

/** Throws 400 for fields that do not go together. */
export function checkTogether(body: CompletionBody): void {
  const choices = promptInputs(body.prompt).length * (body.n ?? 1);
  checkStreamOptions(body);
  if (choices > limits.choicesMax)
    throw conflict("n", `Prompts times n must not be more than ${limits.choicesMax}.`);
}
