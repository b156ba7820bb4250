/** POST /v1/chat/completions. */
import type { FastifyReply } from "fastify";
import type { Response } from "../../engine/api.js";
import { ChatBody, type ChatCompletion } from "../../protocol/chat.js";
import type { ServerContext } from "../context.js";
import type { HttpCaller } from "../http/caller.js";
import { ChatChunks } from "../render/chat-chunks.js";
import { chatMessage } from "../render/chat-message.js";
import { finishReasonOf, stoppedBy } from "../render/endings.js";
import { tokenLogprobs } from "../render/logprobs.js";
import { completionUsage } from "../render/usage.js";
import { chatSubmissions } from "../submissions/chat.js";
import { reasoningBudgetFields } from "../submissions/reasoning.js";
import { dropOf, tolerateBody } from "../validation/tolerance.js";
import { answerChoices, createdSeconds } from "./choices.js";

export function chatCompletions(
  context: ServerContext,
  caller: HttpCaller,
  body: unknown,
  reply: FastifyReply,
): Promise<unknown> {
  const chat = tolerateBody(context, ChatBody, body, reply);
  const withLogprobs = chat.logprobs ?? false;
  const isLegacy = (chat.functions ?? []).length > 0;
  return answerChoices(context, reply, {
    submissions: chatSubmissions(chat, { ...caller, drop: dropOf(context, reply) }),
    lease: caller.lease,
    perPrompt: chat.n ?? 1,
    stream: chat.stream ?? false,
    includeUsage: chat.stream_options?.include_usage ?? false,
    budgetFields: reasoningBudgetFields(chat),
    inputParam: "messages",
    chunkObject: "chat.completion.chunk",
    chunksOf: (response, head, index) => new ChatChunks(response, head, index, isLegacy),
    wholeOf: (responses) => completionOf(responses, withLogprobs, isLegacy),
  });
}

function completionOf(
  responses: readonly Response[],
  withLogprobs: boolean,
  isLegacy: boolean,
): ChatCompletion {
  const [first] = responses;
  return {
    id: first!.id,
    object: "chat.completion",
    created: createdSeconds(first!),
    model: first!.model,
    choices: responses.map((response, index) => ({
      index,
      message: chatMessage(response, isLegacy),
      logprobs: withLogprobs ? { content: tokenLogprobs(response.logprobs), refusal: null } : null,
      finish_reason: finishReasonOf(response.ending!, isLegacy)!,
      ...stoppedBy(response.ending!),
    })),
    usage: completionUsage(responses, responses.length),
  };
}
