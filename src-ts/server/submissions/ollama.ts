/** A body of Ollama's API as a submission. */
import type { SubmissionInput } from "../../engine/api.js";
import type {
  OllamaChatBody,
  OllamaChatMessage,
  OllamaGenerateBody,
} from "../../protocol/ollama.js";
import { type Caller, callerFields } from "./caller.js";
import { conflict } from "./conflict.js";
import { formatConstraintOf } from "./constraint.js";
import { withoutCall } from "./history.js";
import { idempotencyOf } from "./idempotency.js";
import { chatInput, type PromptMessage, promptInputs } from "./prompts.js";
import { reasoningOf } from "./reasoning.js";
import { samplingOf } from "./sampling.js";
import { chatTools } from "./tools.js";

/** Throws 400 for fields that do not go together. */
export function ollamaChat(body: OllamaChatBody, caller: Caller): SubmissionInput {
  const { offer, ...tooling } = chatTools({ tools: body.tools }, caller.drop);
  const messages = history(body.messages ?? []);
  const input = chatInput({
    messages,
    templateArgs: undefined,
    tools: offer,
    reasoning: thinkingOf(body),
  });
  return { ...submissionOf(body, caller, "api/chat"), input, ...tooling };
}

/** Throws 400 for fields that do not go together. */
export function ollamaGeneration(body: OllamaGenerateBody, caller: Caller): SubmissionInput {
  const { prompt, system } = body;
  const shared = submissionOf(body, caller, "api/generate");
  if (!body.raw) {
    const messages: PromptMessage[] = [{ role: "user", content: prompt ?? "" }];
    if (system) messages.unshift({ role: "system", content: system });
    const input = chatInput({ messages, templateArgs: undefined, reasoning: thinkingOf(body) });
    return { ...shared, input };
  }
  if (system) throw conflict("system", "system has no place in a raw prompt.");
  return { ...shared, input: promptInputs(prompt ?? "")[0]! };
}

function thinkingOf({ think }: Pick<OllamaChatBody, "think">) {
  if (think) return { enabled: true };
  return reasoningOf(think === false ? "none" : undefined, {});
}

function submissionOf(
  body: OllamaChatBody | OllamaGenerateBody,
  caller: Caller,
  route: string,
): Omit<SubmissionInput, "input"> {
  return {
    model: body.model ?? undefined,
    sampling: samplingOf(body.options ?? {}, undefined),
    maxTokens: body.options?.num_predict ?? undefined,
    ...formatConstraintOf(body.format),
    ...callerFields(caller),
    store: false,
    abandonment: { kind: "cancel" },
    idempotency: idempotencyOf(route, caller.idempotencyKey, body),
    idPrefix: "ollama",
  };
}

interface OpenCall {
  id: string;
  name: string;
}

/** Calls may come without ids, and results with the name of what was called, or nothing. */
function history(messages: readonly OllamaChatMessage[]): PromptMessage[] {
  const open: OpenCall[] = [];
  return messages.map((message, index) => {
    const { role } = message;
    if (role === "tool") {
      const { content } = message;
      return { role, content, tool_call_id: answeredBy(message, open, `messages[${index}]`) };
    }
    if (role !== "assistant") return { role, content: message.content };
    const { content, thinking, tool_calls } = message;
    const calls = (tool_calls ?? []).map(({ id, function: { name, arguments: input } }, i) => {
      const call = { id: id || `call_${index}_${i}`, name };
      open.push(call);
      const text = JSON.stringify(input ?? {});
      return { id: call.id, type: "function" as const, function: { name, arguments: text } };
    });
    return {
      role,
      content: content ?? "",
      ...(thinking && { reasoning_content: thinking }),
      ...(calls.length > 0 && { tool_calls: calls }),
    };
  });
}

function answeredBy(
  { tool_call_id, tool_name }: Extract<OllamaChatMessage, { role: "tool" }>,
  open: OpenCall[],
  at: string,
): string {
  const isMeant = ({ id, name }: OpenCall) =>
    tool_call_id ? id === tool_call_id : !tool_name || name === tool_name;
  const place = open.findIndex(isMeant);
  const field = tool_call_id ? ".tool_call_id" : tool_name ? ".tool_name" : "";
  if (place < 0) throw withoutCall(at + field);
  return open.splice(place, 1)[0]!.id;
}
