/** POST /v1/completions. */
import type { FastifyReply } from "fastify";
import type { Response, Submission } from "../../engine/api.js";
import { type Completion, CompletionBody } from "../../protocol/completions.js";
import * as limits from "../../protocol/limits.js";
import type { PrepareInput } from "../../worker/messages.js";
import { finishReasonOf } from "../endings.js";
import type { ServerContext } from "../options.js";
import { CompletionChunks } from "../render/chat-chunks.js";
import { completionLogprobs } from "../render/logprobs.js";
import { completionUsage } from "../render/usage.js";
import {
  type Caller,
  callerFields,
  conflict,
  idempotencyOf,
  samplingOf,
  tokenLimitOf,
  withSeedOffset,
} from "../submissions.js";
import { tolerateBody } from "../tolerance.js";
import { answerChoices, createdSeconds } from "./choices.js";

export function completions(
  context: ServerContext,
  caller: Caller,
  body: unknown,
  reply: FastifyReply,
): Promise<unknown> {
  const completion = tolerateBody(context, CompletionBody, body, reply);
  const inputs = inputsOf(completion.prompt);
  const perPrompt = completion.n ?? 1;
  const withLogprobs = completion.logprobs != null;
  checkTogether(completion, inputs.length * perPrompt);
  return answerChoices(context, reply, {
    submissions: submissionsOf(completion, inputs, caller),
    lease: caller.lease,
    perPrompt,
    stream: completion.stream ?? false,
    includeUsage: completion.stream_options?.include_usage ?? false,
    inputParam: "prompt",
    chunkObject: "text_completion",
    chunksOf: (response, head, index) => new CompletionChunks(response, head, index),
    wholeOf: (responses) => wholeOf(responses, perPrompt, withLogprobs),
  });
}

function checkTogether({ stream, stream_options }: CompletionBody, choices: number): void {
  if (stream_options != null && !stream)
    throw conflict("stream_options", "stream_options needs stream: true.");
  if (choices > limits.choicesMax)
    throw conflict("n", `Prompts times n must not be more than ${limits.choicesMax}.`);
}

function inputsOf(prompt: CompletionBody["prompt"]): PrepareInput[] {
  if (typeof prompt === "string") return [{ kind: "text", text: prompt }];
  if (typeof prompt[0] === "number") return [tokensInput(prompt as number[])];
  return (prompt as (string | number[])[]).map((one) =>
    typeof one === "string" ? { kind: "text", text: one } : tokensInput(one),
  );
}

function tokensInput(ids: readonly number[]): PrepareInput {
  const tokens = new Uint8Array(ids.length * 4);
  const view = new DataView(tokens.buffer);
  for (const [index, id] of ids.entries()) view.setUint32(index * 4, id, true);
  return { kind: "tokens", tokens };
}

function submissionsOf(
  body: CompletionBody,
  inputs: readonly PrepareInput[],
  caller: Caller,
): Submission[] {
  const sampling = samplingOf(body, body.logprobs ?? -1);
  const maxTokens = tokenLimitOf(body);
  const idempotency = idempotencyOf("completions", caller.idempotencyKey, body);
  const perPrompt = body.n ?? 1;
  return Array.from({ length: inputs.length * perPrompt }, (_, index) => ({
    model: body.model ?? undefined,
    input: inputs[Math.floor(index / perPrompt)]!,
    sampling: withSeedOffset(sampling, index % perPrompt),
    maxTokens,
    ...callerFields(caller),
    store: false,
    abandonment: { kind: "cancel" },
    idempotency: idempotency && { ...idempotency, key: `${idempotency.key}#${index}` },
    idPrefix: "cmpl",
  }));
}

function wholeOf(
  responses: readonly Response[],
  perPrompt: number,
  withLogprobs: boolean,
): Completion {
  const [first] = responses;
  return {
    id: first!.id,
    object: "text_completion",
    created: createdSeconds(first!),
    model: first!.model,
    choices: responses.map((response, index) => ({
      index,
      text: response.text,
      logprobs: withLogprobs ? completionLogprobs(response.logprobs, response.text) : null,
      finish_reason: finishReasonOf(response.ending!)!,
    })),
    usage: completionUsage(responses, perPrompt),
  };
}
