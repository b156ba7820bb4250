/** Items of a response's output as objects of the Responses API. Owns their ids, and their form in this API. */
import type { Item, OutputItem, OutputPart, Response } from "../../engine/api.js";
import type * as protocol from "../../protocol/responses.js";
import { nameIn } from "../../protocol/tools.js";
import { isResponseEcho } from "./echo.js";
import { tokenLogprobs } from "./logprobs.js";

const idPrefixes: Readonly<Record<Item["kind"], string>> = {
  message: "msg",
  functionCall: "fc",
  customToolCall: "ctc",
  reasoning: "rs",
};

/** An item's id follows from the response's and from its place. */
export function itemIdOf(response: Response, index: number): string {
  const prefix = idPrefixes[itemAt(response, index).item.kind];
  const own = response.id.replace(/^[a-z]+_/, "");
  return index === 0 ? `${prefix}_${own}` : `${prefix}_${own}_${index}`;
}

/** Of entries that have been read the items are there. */
export function itemAt({ output }: Response, index: number): OutputItem {
  const item = output[index];
  if (item === undefined) throw new TypeError(`there is no item ${index} yet`);
  return item;
}

/** All items with all their text so far. */
export function outputItems(response: Response): protocol.OutputItem[] {
  return response.output.map((_, index) => itemObject(response, index));
}

/** With all its text so far. */
export function itemObject(response: Response, index: number): protocol.OutputItem {
  const { item, parts } = itemAt(response, index);
  const id = itemIdOf(response, index);
  const status = statusOf(response, index);
  switch (item.kind) {
    case "message":
      return { id, type: "message", role: "assistant", status, content: parts.map(textPart) };
    case "reasoning":
      return { id, type: "reasoning", status, summary: [], content: parts.map(reasoningPart) };
    case "functionCall": {
      const called = { status, call_id: item.callId, ...calledName(response, item.name) };
      return { id, type: "function_call", ...called, arguments: parts[0]?.text ?? "" };
    }
    case "customToolCall": {
      const called = { status, call_id: item.callId, ...calledName(response, item.name) };
      return { id, type: "custom_tool_call", ...called, input: parts[0]?.text ?? "" };
    }
  }
}

/** As it was when it was added. */
export function emptyItem(response: Response, index: number): protocol.OutputItem {
  const item = { ...itemObject(response, index), status: "in_progress" } as const;
  switch (item.type) {
    case "message":
    case "reasoning":
      return { ...item, content: [] };
    case "function_call":
      return { ...item, arguments: "" };
    case "custom_tool_call":
      return { ...item, input: "" };
  }
}

/** A tool of a namespace is called by the name that it has there. */
export function calledName({ echo }: Response, name: string) {
  const tools = isResponseEcho(echo) ? (echo.tools ?? []) : [];
  for (const { type, ...namespace } of tools) {
    if (type !== "namespace" || !("tools" in namespace)) continue;
    const own = namespace.tools.find((tool) => nameIn(namespace.name, tool.name) === name);
    if (own !== undefined) return { name: own.name, namespace: namespace.name };
  }
  return { name };
}

/** What was under way when the response ended is as complete as the response is; a call knows it of itself. */
function statusOf({ ending, output }: Response, index: number): protocol.OutputMessage["status"] {
  const { item, isDone, isIncomplete } = output[index]!;
  if (isIncomplete) return "incomplete";
  if (index < output.length - 1) return "completed";
  if (ending === undefined || "callId" in item) return isDone ? "completed" : "in_progress";
  return ending.kind === "stop" || ending.kind === "toolCalls" ? "completed" : "incomplete";
}

export function reasoningPart({ text }: OutputPart): protocol.ReasoningText {
  return { type: "reasoning_text", text };
}

export function textPart({ text, logprobs }: OutputPart): protocol.OutputText {
  return { type: "output_text", text, annotations: [], logprobs: tokenLogprobs(logprobs) };
}

export function emptyReasoningPart(): protocol.ReasoningText {
  return { type: "reasoning_text", text: "" };
}

export function emptyTextPart(): protocol.OutputText {
  return { type: "output_text", text: "", annotations: [], logprobs: [] };
}
