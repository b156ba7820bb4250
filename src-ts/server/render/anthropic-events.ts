/**
 * One streamed message of Anthropic's API: log entries to events. Owns their order: the message starts, its blocks
 * come one after another, none is empty and none stays open, the message ends.
 */
import type { Item, LogEntry, Response } from "../../engine/api.js";
import type { AnthropicStreamEvent } from "../../protocol/anthropic.js";
import {
  anthropicUsage,
  emptyMessage,
  signatureOf,
  stopReasonOf,
  stopSequenceOf,
} from "./anthropic-message.js";
import { itemAt } from "./output-items.js";

type Event<T extends AnthropicStreamEvent["type"]> = Extract<AnthropicStreamEvent, { type: T }>;
type Block = Event<"content_block_start">["content_block"];
type Delta = Event<"content_block_delta">["delta"];

export function eventText(event: AnthropicStreamEvent): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}

export class AnthropicEvents {
  private hasStarted = false;
  /** Items that are blocks, so far. */
  private blocks = 0;
  /** The item that the open block shows. */
  private open: Item | undefined;

  constructor(private readonly response: Response) {}

  render(entry: LogEntry, _number: number, out: string[]): void {
    switch (entry.kind) {
      case "itemAdded":
        // A call is one without arguments too; of the others there may be nothing to show.
        if ("callId" in entry.item) this.begin(entry.item, out);
        return;
      case "delta":
        if (entry.text !== "") this.delta(itemAt(this.response, entry.index).item, entry.text, out);
        return;
      case "itemDone":
        return this.finish(out);
      case "ended":
        return this.end(entry, out);
    }
  }

  /** While nothing else is sent; a message has started by then. */
  ping(): string {
    const out: string[] = [];
    this.start(out);
    this.say({ type: "ping" }, out);
    return out.join("");
  }

  private say(event: AnthropicStreamEvent, out: string[]): void {
    out.push(eventText(event));
  }

  private start(out: string[]): void {
    if (this.hasStarted) return;
    this.hasStarted = true;
    this.say({ type: "message_start", message: emptyMessage(this.response) }, out);
  }

  private begin(item: Item, out: string[]): void {
    this.start(out);
    this.open = item;
    const content_block = emptyBlock(item);
    this.say({ type: "content_block_start", index: this.blocks, content_block }, out);
  }

  private delta(item: Item, text: string, out: string[]): void {
    if (this.open === undefined) this.begin(item, out);
    this.say({ type: "content_block_delta", index: this.blocks, delta: deltaOf(item, text) }, out);
  }

  private finish(out: string[]): void {
    if (this.open === undefined) return;
    const index = this.blocks;
    if (this.open.kind === "reasoning") {
      const delta: Delta = { type: "signature_delta", signature: signatureOf(this.response) };
      this.say({ type: "content_block_delta", index, delta }, out);
    }
    this.say({ type: "content_block_stop", index }, out);
    this.open = undefined;
    this.blocks++;
  }

  private end({ ending }: Extract<LogEntry, { kind: "ended" }>, out: string[]): void {
    const stop_reason = stopReasonOf(ending);
    if (stop_reason === undefined) return;
    this.start(out);
    const usage = anthropicUsage(this.response);
    const delta = { stop_reason, stop_sequence: stopSequenceOf(ending) };
    this.say({ type: "message_delta", delta, usage }, out);
    this.say({ type: "message_stop" }, out);
  }
}

function emptyBlock(item: Item): Block {
  switch (item.kind) {
    case "message":
      return { type: "text", text: "" };
    case "reasoning":
      return { type: "thinking", thinking: "", signature: "" };
    case "functionCall":
    case "customToolCall":
      return { type: "tool_use", id: item.callId, name: item.name, input: {} };
  }
}

function deltaOf({ kind }: Item, text: string): Delta {
  switch (kind) {
    case "message":
      return { type: "text_delta", text };
    case "reasoning":
      return { type: "thinking_delta", thinking: text };
    case "functionCall":
    case "customToolCall":
      return { type: "input_json_delta", partial_json: text };
  }
}
