/** POST /v1/chat/completions. */
import type { FastifyReply } from "fastify";
import type { Response, Submission } from "../../engine/api.js";
import { ChatBody, type ChatCompletion } from "../../protocol/chat.js";
import { finishReasonOf } from "../endings.js";
import type { ServerContext } from "../options.js";
import { ChatChunks } from "../render/chat-chunks.js";
import { tokenLogprobs } from "../render/logprobs.js";
import { completionUsage } from "../render/usage.js";
import {
  type Caller,
  callerFields,
  chatInput,
  conflict,
  idempotencyOf,
  samplingOf,
  tokenLimitOf,
  withSeedOffset,
} from "../submissions.js";
import { tolerateBody } from "../tolerance.js";
import { answerChoices, createdSeconds } from "./choices.js";

export function chatCompletions(
  context: ServerContext,
  caller: Caller,
  body: unknown,
  reply: FastifyReply,
): Promise<unknown> {
  const chat = tolerateBody(context, ChatBody, body, reply);
  checkTogether(chat);
  const withLogprobs = chat.logprobs ?? false;
  return answerChoices(context, reply, {
    submissions: submissionsOf(chat, caller),
    lease: caller.lease,
    perPrompt: chat.n ?? 1,
    stream: chat.stream ?? false,
    includeUsage: chat.stream_options?.include_usage ?? false,
    inputParam: "messages",
    chunkObject: "chat.completion.chunk",
    chunksOf: (response, head, index) => new ChatChunks(response, head, index),
    wholeOf: (responses) => completionOf(responses, withLogprobs),
  });
}

function checkTogether(chat: ChatBody): void {
  const { logprobs, top_logprobs, stream, stream_options } = chat;
  if ((top_logprobs ?? 0) > 0 && !logprobs)
    throw conflict("top_logprobs", "top_logprobs needs logprobs: true.");
  if (stream_options != null && !stream)
    throw conflict("stream_options", "stream_options needs stream: true.");
}

function submissionsOf(chat: ChatBody, caller: Caller): Submission[] {
  const input = chatInput(chat.messages, chat.chat_template_kwargs);
  const sampling = samplingOf(chat, chat.logprobs ? (chat.top_logprobs ?? 0) : -1);
  const maxTokens = tokenLimitOf(chat);
  const idempotency = idempotencyOf("chat", caller.idempotencyKey, chat);
  return Array.from({ length: chat.n ?? 1 }, (_, index) => ({
    model: chat.model ?? undefined,
    input,
    sampling: withSeedOffset(sampling, index),
    maxTokens,
    ...callerFields(caller),
    store: false,
    abandonment: { kind: "cancel" },
    idempotency: idempotency && { ...idempotency, key: `${idempotency.key}#${index}` },
    idPrefix: "chatcmpl",
  }));
}

function completionOf(responses: readonly Response[], withLogprobs: boolean): ChatCompletion {
  const [first] = responses;
  return {
    id: first!.id,
    object: "chat.completion",
    created: createdSeconds(first!),
    model: first!.model,
    choices: responses.map((response, index) => ({
      index,
      message: { role: "assistant", content: response.text, refusal: null },
      logprobs: withLogprobs ? { content: tokenLogprobs(response.logprobs), refusal: null } : null,
      finish_reason: finishReasonOf(response.ending!)!,
    })),
    usage: completionUsage(responses, responses.length),
  };
}
