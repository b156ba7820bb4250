/** What a page shows of one response: its events become text, items and calls, one after another. Pure. */
import {
  type ClientError,
  outputText,
  type ResponseStreamEvent,
  reasoningText,
  type ToolCall,
} from "../client/index.js";
import type { OutputItem, ResponseObject, ResponseUsage } from "../protocol/index.js";

/**
 * `waiting`: asked for, and no token is there yet. `reconnecting`: the connection is lost, and the response goes on
 * when it is back. `stopping`: `stop` was called, and the server has not confirmed it. The last four are ends.
 */
export type ResponseStatus =
  | "idle"
  | "connecting"
  | "waiting"
  | "streaming"
  | "reconnecting"
  | "stopping"
  | "completed"
  | "incomplete"
  | "cancelled"
  | "failed";

/** Never changed in place: what differs is another object. */
export interface ResponseState {
  readonly status: ResponseStatus;
  /** It was asked for and has not ended. */
  readonly running: boolean;
  readonly responseId: string | undefined;
  /** Number of the last event that came; −1: none. */
  readonly cursor: number;
  /** Of all messages, so far. */
  readonly text: string;
  /** What the model thinks, so far. */
  readonly reasoning: string;
  /** Messages, reasoning and calls in order, as far as they have come: each has a `status`. */
  readonly items: readonly OutputItem[];
  /** Those of `items` that are calls. The arguments of one that is `in_progress` are no JSON yet. */
  readonly calls: readonly ToolCall[];
  /** Null until the end. */
  readonly usage: ResponseUsage | null;
  /** Of the terminal event. */
  readonly response: ResponseObject | undefined;
  /** Why its status is `failed`. */
  readonly error: ClientError | undefined;
}

const noItems: readonly never[] = Object.freeze([]);

/** Before anything was asked for. */
export const idleState: ResponseState = Object.freeze({
  status: "idle",
  running: false,
  responseId: undefined,
  cursor: -1,
  text: "",
  reasoning: "",
  items: noItems,
  calls: noItems,
  usage: null,
  response: undefined,
  error: undefined,
});

/** The status of one that has ended is `withEnd`'s: its answer is still checked after the last event. */
export function withEvent(before: ResponseState, event: ResponseStreamEvent): ResponseState {
  const state = { ...before, cursor: event.sequence_number };
  switch (event.type) {
    case "response.created":
    case "response.queued":
    case "response.in_progress":
      return { ...state, responseId: event.response.id };
    case "response.output_text.delta":
      return withGrown({ ...state, text: state.text + event.delta }, event);
    case "response.reasoning_text.delta":
      return withGrown({ ...state, reasoning: state.reasoning + event.delta }, event);
    case "response.function_call_arguments.delta":
    case "response.custom_tool_call_input.delta":
      return withGrown(state, event);
    case "response.output_item.added":
    case "response.output_item.done":
      return withItem(state, event.output_index, event.item);
    case "response.content_part.added":
    case "response.content_part.done":
      return withPart(state, event);
    case "response.completed":
    case "response.incomplete":
    case "response.failed":
      return withResponse(state, event.response);
    default:
      return state;
  }
}

export interface End {
  /** Its terminal event's, if it came to one; the state may not have seen that, after a resume from behind it. */
  response?: ResponseObject | undefined;
  error?: ClientError | undefined;
}

export function withEnd(before: ResponseState, { response, error }: End): ResponseState {
  const state = response === undefined ? before : withResponse(before, response);
  return { ...state, running: false, status: endOf(state, error), error };
}

/** This client has left it; it was told to end on the server. */
export function withAbort(state: ResponseState): ResponseState {
  return { ...state, running: false, status: "cancelled", error: undefined };
}

function endOf({ response }: ResponseState, error: ClientError | undefined): ResponseStatus {
  if (error !== undefined) return "failed";
  if (response?.status === "cancelled") return "cancelled";
  return response?.status === "incomplete" ? "incomplete" : "completed";
}

function withResponse(state: ResponseState, response: ResponseObject): ResponseState {
  return {
    ...withItems(state, response.output),
    responseId: response.id,
    text: outputText(response),
    reasoning: reasoningText(response),
    usage: response.usage,
    response,
  };
}

function withItems(state: ResponseState, items: readonly OutputItem[]): ResponseState {
  const calls = items.filter(
    (item): item is ToolCall => item.type === "function_call" || item.type === "custom_tool_call",
  );
  return { ...state, items, calls };
}

function withItem(state: ResponseState, index: number, item: OutputItem): ResponseState {
  return withItems(state, placed(state.items, index, item));
}

type Delta = Extract<ResponseStreamEvent, { delta: string }>;
type PartEvent = Extract<
  ResponseStreamEvent,
  { type: "response.content_part.added" | "response.content_part.done" }
>;

/** A delta of an item that was never added is in the texts alone. */
function withGrown(state: ResponseState, event: Delta): ResponseState {
  const item = state.items[event.output_index];
  return item === undefined ? state : withItem(state, event.output_index, grown(item, event));
}

function grown(item: OutputItem, event: Delta): OutputItem {
  switch (item.type) {
    case "function_call":
      return { ...item, arguments: item.arguments + event.delta };
    case "custom_tool_call":
      return { ...item, input: item.input + event.delta };
    case "message":
      return { ...item, content: grownParts(item.content, event) };
    case "reasoning":
      return { ...item, content: grownParts(item.content, event) };
  }
}

function grownParts<Part extends { text: string }>(parts: readonly Part[], event: Delta): Part[] {
  return parts.map((part, index) =>
    "content_index" in event && index === event.content_index
      ? { ...part, text: part.text + event.delta }
      : part,
  );
}

function withPart(state: ResponseState, event: PartEvent): ResponseState {
  const { output_index: index, content_index: at, part } = event;
  const item = state.items[index];
  if (item?.type === "message" && part.type === "output_text")
    return withItem(state, index, { ...item, content: placed(item.content, at, part) });
  if (item?.type === "reasoning" && part.type === "reasoning_text")
    return withItem(state, index, { ...item, content: placed(item.content, at, part) });
  return state;
}

function placed<T>(values: readonly T[], at: number, value: T): T[] {
  const all = [...values];
  all[at] = value;
  return all;
}
