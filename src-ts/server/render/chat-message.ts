/** A whole response as the message of a chat's choice. */
import type { OutputItem, Response } from "../../engine/api.js";
import type { ChatCall, ChatCompletion } from "../../protocol/chat.js";

type Message = ChatCompletion["choices"][number]["message"];

/** `isLegacy`: who asked calls tools functions, and knows one call alone. */
export function chatMessage({ output, text }: Response, isLegacy: boolean): Message {
  const thoughts = output.filter(({ item }) => item.kind === "reasoning").map(textOf);
  const calls = output.flatMap(callOf);
  const hasNoText = text === "" && (thoughts.length > 0 || calls.length > 0);
  return {
    role: "assistant",
    content: hasNoText ? null : text,
    refusal: null,
    ...(thoughts.length > 0 && { reasoning_content: thoughts.join("") }),
    ...(calls.length > 0 && calledAs(calls, isLegacy)),
  };
}

function textOf({ parts }: OutputItem): string {
  return parts.map(({ text }) => text).join("");
}

function callOf(output: OutputItem): ChatCall[] {
  const { item } = output;
  const text = textOf(output);
  switch (item.kind) {
    case "functionCall": {
      const { callId: id, name } = item;
      return [{ id, type: "function", function: { name, arguments: text } }];
    }
    case "customToolCall": {
      const { callId: id, name } = item;
      return [{ id, type: "custom", custom: { name, input: text } }];
    }
    default:
      return [];
  }
}

function calledAs(calls: ChatCall[], isLegacy: boolean): Partial<Message> {
  const [first] = calls;
  if (isLegacy && first?.type === "function") return { function_call: first.function };
  return { tool_calls: calls };
}
