/** A body of Anthropic's Messages API as a submission. */
import type { SubmissionInput } from "../../engine/api.js";
import type { AnthropicBody, AnthropicCountBody } from "../../protocol/anthropic.js";
import type { PrepareInput, ReasoningRequest, ToolOffer } from "../../worker/messages.js";
import { anthropicHistory } from "./anthropic-history.js";
import { anthropicTools } from "./anthropic-tools.js";
import { type Caller, callerFields } from "./caller.js";
import { conflict } from "./conflict.js";
import { anthropicConstraintOf } from "./constraint.js";
import { idempotencyOf } from "./idempotency.js";
import { chatInput } from "./prompts.js";
import { reasoningOf } from "./reasoning.js";
import { samplingOf } from "./sampling.js";

/** How requests of this API are taken. */
export interface AnthropicTaking {
  /** What agents write into them that is another in every turn: left out, or kept. */
  agentNoise: "strip" | "keep";
  /** A message of the system's between turns, where the template refuses it: a part of the user's turn, or refused. */
  lateSystem: "user" | "refuse";
}

const usual: AnthropicTaking = { agentNoise: "strip", lateSystem: "user" };

/** Throws 400 for fields that do not go together. */
export function anthropicSubmission(
  body: AnthropicBody,
  caller: Caller,
  taking = usual,
): SubmissionInput {
  checkTurn(body);
  const { offer, ...tooling } = anthropicTools(body, caller.drop);
  return {
    model: body.model ?? undefined,
    input: anthropicInput(body, offer, taking),
    ...tooling,
    sampling: samplingOf({ ...body, stop: body.stop_sequences }, undefined),
    maxTokens: body.max_tokens,
    ...anthropicConstraintOf(body),
    ...callerFields(caller),
    store: false,
    abandonment: { kind: "cancel" },
    idempotency: idempotencyOf("messages", caller.idempotencyKey, body),
    idPrefix: "msg",
  };
}

/** The same prompt, of which only the tokens are wanted. */
export function anthropicCount(
  body: AnthropicCountBody,
  caller: Caller,
  taking = usual,
): SubmissionInput {
  const { offer } = anthropicTools(body, caller.drop);
  return {
    model: body.model ?? undefined,
    input: anthropicInput(body, offer, taking),
    ...callerFields(caller),
    idPrefix: "count",
  };
}

function anthropicInput(
  body: AnthropicCountBody,
  offer: ToolOffer | undefined,
  taking: AnthropicTaking,
): PrepareInput {
  return chatInput({
    messages: anthropicHistory(body.system, body.messages, taking.agentNoise === "keep"),
    foldsSystem: taking.lateSystem === "user",
    templateArgs: body.chat_template_kwargs,
    tools: offer,
    reasoning: thinkingOf(body),
  });
}

/** Who doesn't ask for thoughts gets none, as far as the model can do without. `adaptive`: as its template has it. */
function thinkingOf(body: AnthropicCountBody): ReasoningRequest | undefined {
  const { thinking } = body;
  switch (thinking?.type) {
    case "enabled":
      return { enabled: true, ...reasoningOf(undefined, body, thinking.budget_tokens) };
    case "adaptive":
      return reasoningOf(undefined, body);
    default:
      return reasoningOf("none", body);
  }
}

/** An answer can't be begun by whoever asks. */
function checkTurn({ messages }: AnthropicBody): void {
  if (messages.at(-1)!.role === "assistant")
    throw conflict(
      "messages",
      "messages must end with the user: going on with the last message is not supported.",
    );
}
