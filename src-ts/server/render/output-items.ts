/**
 * Items of a response's output as objects of the Responses API. Owns their ids, and which kinds of items
 * this API has a form for: calls and reasoning get theirs in `itemObject`, and their events in
 * `response-events.ts`.
 */
import type { Item, OutputItem, OutputPart, Response } from "../../engine/api.js";
import type { OutputMessage, OutputText } from "../../protocol/responses.js";
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
export function outputItems(response: Response): OutputMessage[] {
  return response.output.flatMap((_, index) => itemObject(response, index) ?? []);
}

/** Undefined: this API has no form for it yet. */
function itemObject(response: Response, index: number): OutputMessage | undefined {
  const { item } = itemAt(response, index);
  switch (item.kind) {
    case "message":
      return messageObject(response, index);
    case "functionCall":
    case "customToolCall":
    case "reasoning":
      return undefined;
  }
}

/** With all its text so far. */
export function messageObject(response: Response, index: number): OutputMessage {
  return {
    id: itemIdOf(response, index),
    type: "message",
    role: "assistant",
    status: statusOf(response, index),
    content: itemAt(response, index).parts.map(textPart),
  };
}

/** Before its first part. */
export function emptyMessage(response: Response, index: number): OutputMessage {
  return { ...messageObject(response, index), status: "in_progress", content: [] };
}

/** What was under way when the response ended is as complete as the response is. */
function statusOf({ ending, output }: Response, index: number): OutputMessage["status"] {
  if (index < output.length - 1) return "completed";
  if (ending === undefined) return output[index]!.isDone ? "completed" : "in_progress";
  return ending.kind === "stop" || ending.kind === "toolCalls" ? "completed" : "incomplete";
}

export function textPart({ text, logprobs }: OutputPart): OutputText {
  return { type: "output_text", text, annotations: [], logprobs: tokenLogprobs(logprobs) };
}

export function emptyTextPart(): OutputText {
  return { type: "output_text", text: "", annotations: [], logprobs: [] };
}
