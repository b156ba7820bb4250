/** What pieces of a turn add up to, and whether an engine's output is a beginning of it. */
import type { Item, OutputItem } from "../../src-ts/engine/api.js";
import type { Piece } from "../../src-ts/worker/messages.js";
import { tools } from "./turns.js";

/** `isComplete`: of a call that was not broken off. */
export interface ExpectedItem {
  kind: Item["kind"];
  name: string | undefined;
  text: string;
  isComplete: boolean;
}

export function itemsOf(pieces: readonly Piece[]): ExpectedItem[] {
  const items: ExpectedItem[] = [];
  for (const [kind, value] of pieces) {
    if (kind === "call") items.push(newItem(callKindOf(value), value));
    else if (kind === "callEnd") items.at(-1)!.isComplete = value;
    else if (value !== "" && kind !== "forced") textIn(items, kind).text += value;
  }
  return items;
}

export const newItem = (kind: Item["kind"], name?: string): ExpectedItem => ({
  kind,
  name,
  text: "",
  isComplete: false,
});

function callKindOf(name: string): Item["kind"] {
  return tools.some((tool) => tool.custom && tool.name === name)
    ? "customToolCall"
    : "functionCall";
}

function textIn(items: ExpectedItem[], kind: "content" | "reasoning" | "arguments"): ExpectedItem {
  const last = items.at(-1);
  if (last !== undefined && (kind === "arguments" || last.kind === itemKinds[kind])) return last;
  if (kind === "arguments") throw new Error("arguments before a call");
  const item = newItem(itemKinds[kind]);
  items.push(item);
  return item;
}

const itemKinds = { content: "message", reasoning: "reasoning" } as const;

/** What is wrong with this output, of which `expected` is the whole; undefined: nothing. `isWhole`: it is all there. */
export function wrongIn(
  output: readonly OutputItem[],
  expected: readonly ExpectedItem[],
  isWhole: boolean,
): string | undefined {
  // One that is over before it has said anything has an empty message.
  const most = Math.max(1, expected.length);
  if (isWhole ? output.length !== expected.length : output.length > most)
    return `has ${output.length} items, not ${expected.length}`;
  for (const [index, seen] of output.entries()) {
    const isAllThere = isWhole || index < output.length - 1;
    if (!isAllThere && isEmptyMessage(seen)) continue;
    const wrong = wrongInItem(seen, expected[index]!, isAllThere);
    if (wrong !== undefined) return `item ${index}: ${wrong}`;
  }
  return undefined;
}

/** What a response is given that ends before it has said anything. */
function isEmptyMessage({ item, parts }: OutputItem): boolean {
  return item.kind === "message" && parts.every(({ text }) => text === "");
}

function wrongInItem(
  { item, parts, isDone, isIncomplete }: OutputItem,
  right: ExpectedItem,
  isAllThere: boolean,
): string | undefined {
  const name = "name" in item ? item.name : undefined;
  if (item.kind !== right.kind || name !== right.name)
    return `is ${item.kind} ${name}, not ${right.kind} ${right.name}`;
  const text = parts.map((part) => part.text).join("");
  if (isAllThere ? text !== right.text : !right.text.startsWith(text))
    return `says ${text} where ${right.text} is right`;
  if (!("callId" in item)) return undefined;
  if (isDone && !isIncomplete && !(right.isComplete && text === right.text))
    return `is complete with ${text}, where ${right.text} is right`;
  if (isAllThere && isIncomplete && right.isComplete) return `is broken off with ${text}`;
  return undefined;
}
