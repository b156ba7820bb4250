/** A whole response as a message of Anthropic's API, and what its events have in common with it. */
import type { Ending, OutputItem, Response } from "../../engine/api.js";
import type {
  AnthropicBlock,
  AnthropicMessage,
  AnthropicStopReason,
  AnthropicUsage,
} from "../../protocol/anthropic.js";
import { usageOf } from "./usage.js";

/** Undefined if there is none: it ends with an error, or just closes. */
export function stopReasonOf(ending: Ending): AnthropicStopReason | undefined {
  switch (ending.kind) {
    case "stop":
      return ending.sequence === undefined ? "end_turn" : "stop_sequence";
    case "length":
      return "max_tokens";
    case "toolCalls":
      return "tool_use";
    case "cancelled":
    case "expired":
    case "failed":
      return undefined;
  }
}

/** The stop string that ended it; null if none did. */
export function stopSequenceOf(ending: Ending): string | null {
  return (ending.kind === "stop" ? ending.sequence : undefined) ?? null;
}

/** Of a response that has ended well. */
export function anthropicMessage(response: Response): AnthropicMessage {
  return {
    ...emptyMessage(response),
    content: response.output.flatMap((item) => blockOf(item, response)),
    stop_reason: stopReasonOf(response.ending!) ?? null,
    stop_sequence: stopSequenceOf(response.ending!),
    usage: anthropicUsage(response),
  };
}

/** As it begins. */
export function emptyMessage(response: Response): AnthropicMessage {
  return {
    id: response.id,
    type: "message",
    role: "assistant",
    model: response.model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: anthropicUsage(response),
  };
}

/** So far, or of all of it. */
export function anthropicUsage(response: Response): AnthropicUsage {
  const { promptTokens, cachedTokens, completionTokens } = usageOf(response) ?? {
    promptTokens: response.promptTokens.length,
    cachedTokens: response.cachedTokens,
    completionTokens: response.tokens.length,
  };
  return {
    input_tokens: promptTokens - cachedTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cachedTokens,
    output_tokens: completionTokens,
  };
}

/** Clients send it back, and some drop what has none. Nothing is signed: it only says whose thought it was. */
export function signatureOf({ id }: Response): string {
  return id;
}

function blockOf(output: OutputItem, response: Response): AnthropicBlock[] {
  const { item } = output;
  const text = output.parts.map((part) => part.text).join("");
  switch (item.kind) {
    case "message":
      return text === "" ? [] : [{ type: "text", text }];
    case "reasoning":
      if (text === "") return [];
      return [{ type: "thinking", thinking: text, signature: signatureOf(response) }];
    case "functionCall":
    case "customToolCall": {
      const input = inputOf(text);
      // One that was broken off can't be run.
      if (output.isIncomplete || input === undefined) return [];
      return [{ type: "tool_use", id: item.callId, name: item.name, input }];
    }
  }
}

/** A call without arguments may be made without a word. */
export function inputOf(text: string): Record<string, unknown> | undefined {
  if (text.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
