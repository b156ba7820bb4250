/** A chat completion as submissions: one a choice. */
import type { SubmissionInput } from "../../engine/api.js";
import type { ChatBody } from "../../protocol/chat.js";
import { type Caller, callerFields } from "./caller.js";
import { checkStreamOptions, conflict } from "./conflict.js";
import { constraintOf } from "./constraint.js";
import { chatHistory } from "./history.js";
import { idempotencyOf, ofChoice } from "./idempotency.js";
import { chatInput } from "./prompts.js";
import { reasoningBudgetOf, reasoningOf } from "./reasoning.js";
import { samplingOf, withSeedOffset } from "./sampling.js";
import { tokenLimitOf } from "./token-limit.js";
import { chatTools } from "./tools.js";

/** Throws 400 for fields that do not go together. */
export function chatSubmissions(chat: ChatBody, caller: Caller): SubmissionInput[] {
  checkTogether(chat);
  const { offer, ...tooling } = chatTools(chat, caller.drop);
  const input = chatInput({
    messages: chatHistory(chat.messages),
    templateArgs: chat.chat_template_kwargs,
    tools: offer,
    reasoning: reasoningOf(
      chat.reasoning_effort ?? chat.reasoning?.effort,
      chat,
      reasoningBudgetOf(chat),
    ),
  });
  const sampling = samplingOf(chat, chat.logprobs ? (chat.top_logprobs ?? 0) : undefined);
  const constrained = constraintOf(chat);
  const maxTokens = tokenLimitOf(chat);
  const idempotency = idempotencyOf("chat", caller.idempotencyKey, chat);
  return Array.from({ length: chat.n ?? 1 }, (_, index) => ({
    model: chat.model ?? undefined,
    input,
    sampling: withSeedOffset(sampling, index),
    ...constrained,
    ...tooling,
    maxTokens,
    ...callerFields(caller),
    store: false,
    abandonment: { kind: "cancel" },
    idempotency: ofChoice(idempotency, index),
    idPrefix: "chatcmpl",
  }));
}

function checkTogether(chat: ChatBody): void {
  if ((chat.top_logprobs ?? 0) > 0 && !chat.logprobs)
    throw conflict("top_logprobs", "top_logprobs needs logprobs: true.");
  checkStreamOptions(chat);
}
