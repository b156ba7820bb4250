/** What the events of one response add up to, for who hears each of them once. Throws where they contradict each other. */
import type { OutputItem, ResponseStreamEvent } from "../../src-ts/protocol/index.js";

interface HeardItem {
  id: string;
  callId: string | undefined;
  text: string;
  isDone: boolean;
}

type Of<K extends ResponseStreamEvent["type"]> = Extract<ResponseStreamEvent, { type: K }>;

export class HeardOutput {
  private readonly items: HeardItem[] = [];

  take(event: ResponseStreamEvent): void {
    switch (event.type) {
      case "response.output_item.added":
        return this.added(event);
      case "response.output_text.delta":
      case "response.reasoning_text.delta":
      case "response.function_call_arguments.delta":
      case "response.custom_tool_call_input.delta":
        this.at(event).text += event.delta;
        return;
      case "response.output_text.done":
      case "response.reasoning_text.done":
        return this.same(this.at(event), event.text, event);
      case "response.function_call_arguments.done":
        return this.same(this.at(event), event.arguments, event);
      case "response.custom_tool_call_input.done":
        return this.same(this.at(event), event.input, event);
      case "response.output_item.done":
        return this.done(event);
      case "response.completed":
      case "response.incomplete":
      case "response.failed":
        return this.ended(event.response.output);
    }
  }

  private added({ item, output_index }: Of<"response.output_item.added">): void {
    if (output_index !== this.items.length || this.items.at(-1)?.isDone === false)
      throw new Error(`item ${output_index} is added after ${this.items.length}`);
    if (textOf(item) !== "") throw new Error(`item ${output_index} has text from the start`);
    this.items.push({ id: idOf(item), callId: callIdOf(item), text: "", isDone: false });
  }

  private done(event: Of<"response.output_item.done">): void {
    const heard = this.at({ ...event, item_id: idOf(event.item) });
    this.agree(heard, event.item);
    heard.isDone = true;
  }

  private ended(output: readonly OutputItem[]): void {
    if (output.length !== this.items.length)
      throw new Error(`${output.length} items in the end, and ${this.items.length} were told`);
    for (const [index, item] of output.entries()) {
      const heard = this.items[index]!;
      if (!heard.isDone) throw new Error(`item ${index} is open at the end`);
      this.agree(heard, item);
    }
  }

  /** What the open item is, of which this event speaks. */
  private at(event: { type: string; output_index: number; item_id: string }): HeardItem {
    const item = this.items[event.output_index];
    if (item === undefined || item.isDone || item.id !== event.item_id)
      throw new Error(`${event.type} of ${event.item_id}, which is not open`);
    return item;
  }

  private agree(heard: HeardItem, item: OutputItem): void {
    const { id, callId } = heard;
    if (idOf(item) !== id || callIdOf(item) !== callId)
      throw new Error(`${id} ${callId} has become ${idOf(item)} ${callIdOf(item)}`);
    this.same(heard, textOf(item), item);
  }

  private same({ id, text }: HeardItem, whole: string, { type }: { type: string }): void {
    if (text !== whole) throw new Error(`${type} of ${id}: ${whole}, and what was told is ${text}`);
  }
}

const idOf = (item: OutputItem): string => (item as { id: string }).id;

const callIdOf = (item: OutputItem): string | undefined =>
  "call_id" in item ? item.call_id : undefined;

function textOf(item: OutputItem): string {
  switch (item.type) {
    case "function_call":
      return item.arguments;
    case "custom_tool_call":
      return item.input;
    default:
      return (item.content ?? []).map((part) => ("text" in part ? part.text : "")).join("");
  }
}
