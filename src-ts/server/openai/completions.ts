/** POST /v1/completions. */
import type { FastifyReply } from "fastify";
import type { Response } from "../../engine/api.js";
import { type Completion, CompletionBody } from "../../protocol/completions.js";
import type { ServerContext } from "../context.js";
import type { HttpCaller } from "../http/caller.js";
import { CompletionChunks } from "../render/chat-chunks.js";
import { finishReasonOf, stoppedBy } from "../render/endings.js";
import { completionLogprobs } from "../render/logprobs.js";
import { completionUsage } from "../render/usage.js";
import { checkTogether, completionSubmissions } from "../submissions/completions.js";
import { tolerateBody } from "../validation/tolerance.js";
import { answerChoices, createdSeconds } from "./choices.js";
import { echoCompletion, echoedPrompts } from "./echo.js";

export async function completions(
  context: ServerContext,
  caller: HttpCaller,
  body: unknown,
  reply: FastifyReply,
): Promise<unknown> {
  const completion = tolerateBody(context, CompletionBody, body, reply);
  if (completion.echo) checkTogether(completion);
  if (completion.echo && !completion.stream)
    return echoCompletion(context, caller, completion, reply);
  const prompts = completion.echo ? await echoedPrompts(context, caller, completion, reply) : [];
  const perPrompt = completion.n ?? 1;
  const withLogprobs = completion.logprobs != null;
  return answerChoices(context, reply, {
    submissions: completionSubmissions(completion, caller),
    lease: caller.lease,
    perPrompt,
    stream: completion.stream ?? false,
    includeUsage: completion.stream_options?.include_usage ?? false,
    inputParam: "prompt",
    chunkObject: "text_completion",
    chunksOf: (response, head, index) =>
      new CompletionChunks(response, head, index, prompts[Math.floor(index / perPrompt)]),
    wholeOf: (responses) => wholeOf(responses, perPrompt, withLogprobs),
  });
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
      finish_reason: response.maxTokens === 0 ? "length" : finishReasonOf(response.ending!)!,
      ...stoppedBy(response.ending!),
    })),
    usage: completionUsage(responses, perPrompt),
  };
}
