/**
 * What a request says to the model, as items that are kept with its response, and what whoever goes on from one
 * has before its own. Owns the form in which items are kept: whole, and without what nobody reads again.
 */
import type { Conversation } from "../../engine/api.js";
import { allItems } from "../../engine/conversation.js";
import { identifierCharsMax } from "../../protocol/limits.js";
import type { InputItem, InputMessage, KeptItem, ResponseInput } from "../../protocol/responses.js";
import { type ItemLookup, isBrokenOff } from "./history.js";
import { textOf } from "./prompts.js";

/** A response that can be gone on from. */
export interface Predecessor {
  /** Up to the end of its answer. */
  conversation: Conversation;
  /** Of its prompt and its answer, packed. */
  tokens: Uint8Array;
}

/** Every kind that is kept. A folder may have been written by a version that knows others. */
const kinds: Readonly<Record<KeptItem["type"], true>> = {
  message: true,
  reasoning: true,
  function_call: true,
  function_call_output: true,
  custom_tool_call: true,
  custom_tool_call_output: true,
};

/** Whether all of it can be read. */
export function isReadable(said: Conversation): boolean {
  return allItems(said).every(
    (item) =>
      typeof item === "object" &&
      item !== null &&
      "type" in item &&
      Object.hasOwn(kinds, String(item.type)),
  );
}

/** Of a conversation that is readable. */
export function keptIn(said: Conversation): InputItem[] {
  return allItems(said) as InputItem[];
}

/** References give way to what they name. */
export function keptItems(input: ResponseInput | undefined, lookup: ItemLookup): KeptItem[] {
  if (input === undefined) return [];
  if (typeof input === "string") return [keptMessage({ role: "user", content: input })];
  return input.flatMap((item) => kept(item, lookup) ?? []);
}

const completed = { status: "completed" } as const;

function kept(item: InputItem, lookup: ItemLookup): KeptItem | undefined {
  switch (item.type) {
    case "function_call": {
      const { type, call_id, name, namespace, arguments: text } = item;
      const called = { call_id, name, ...(namespace != null && { namespace }) };
      return { ...idOf(item), type, ...statusOf(item), ...called, arguments: text };
    }
    case "custom_tool_call": {
      const { type, call_id, name, namespace, input } = item;
      const called = { call_id, name, ...(namespace != null && { namespace }) };
      return { ...idOf(item), type, ...statusOf(item), ...called, input };
    }
    case "function_call_output":
    case "custom_tool_call_output": {
      const { type, call_id } = item;
      return { ...idOf(item), type, ...completed, call_id, output: keptOutput(item.output) };
    }
    case "reasoning": {
      const content = (item.content ?? []).map(({ text }) => ({
        type: "reasoning_text" as const,
        text,
      }));
      return { ...idOf(item), type: "reasoning", ...completed, summary: [], content };
    }
    case "item_reference": {
      const named = lookup(item.id);
      return named === undefined ? undefined : kept(named, lookup);
    }
    default:
      return keptMessage(item);
  }
}

function statusOf(call: InputItem) {
  return isBrokenOff(call) ? ({ status: "incomplete" } as const) : completed;
}

function keptMessage({ role, content, ...message }: InputMessage): KeptItem {
  const parts = typeof content === "string" ? [partOf(role, content)] : content.map(keptPart);
  return { ...idOf(message), type: "message", role, ...completed, content: parts };
}

function partOf(role: InputMessage["role"], text: string) {
  return role === "assistant" ? outputText(text) : { type: "input_text" as const, text };
}

function keptPart(part: Exclude<InputMessage["content"], string>[number]) {
  switch (part.type) {
    case "input_text":
      return { type: part.type, text: part.text };
    case "refusal":
      return { type: part.type, refusal: part.refusal };
    case "output_text":
      return outputText(part.text);
  }
}

/** Probabilities of an earlier answer are the answer's: no model reads them. */
function outputText(text: string) {
  return { type: "output_text" as const, text, annotations: [] as [], logprobs: [] };
}

function keptOutput(output: string | readonly { text: string }[]) {
  if (typeof output === "string") return output;
  return output.map((part) => ({ type: "input_text" as const, text: textOf([part]) }));
}

/** A client's own name for it, where it has one. */
function idOf({ id }: { id?: unknown }): { id?: string } {
  const isOne = typeof id === "string" && id !== "" && id.length <= identifierCharsMax;
  return isOne ? { id } : {};
}
