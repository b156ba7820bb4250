/**
 * A response's log entries as events of the Responses API. One entry is one event and its number the
 * event's, so every reader sees the same, whenever it reads. Text deltas are the hot path: all but the
 * text and the number is put together once.
 */
import type { Item, LogEntry, Notice, OutputPart, Response } from "../../engine/api.js";
import type { MigratedNotice, ResponseStreamEvent } from "../../protocol/events.js";
import { responseEndingOf } from "./endings.js";
import { tokenLogprobs } from "./logprobs.js";
import {
  calledName,
  emptyItem,
  emptyReasoningPart,
  emptyTextPart,
  itemAt,
  itemIdOf,
  itemObject,
  reasoningPart,
  textPart,
} from "./output-items.js";
import { earlyObject, isInBackground, responseObject } from "./response-object.js";

type Bare<T> = T extends unknown ? Omit<T, "sequence_number" | "stream_id"> : never;
type BareEvent = Bare<ResponseStreamEvent>;

type Entry<Kind extends LogEntry["kind"]> = Extract<LogEntry, { kind: Kind }>;
/** Entries about an item. */
type ItemEntry = Extract<LogEntry, { index: number }>;

/** What comes before and after the text of a delta. */
interface DeltaFrame {
  index: number;
  part: number;
  start: string;
  hasLogprobs: boolean;
}

/** `sse`: with the `event:` and `data:` lines; `json`: the bare object. */
export type Framing = "sse" | "json";

export class ResponseEvents {
  /** Of the part whose text came last. */
  private deltaFrame: DeltaFrame | undefined;
  private readonly deltaEnd: string;

  constructor(
    private readonly response: Response,
    private readonly framing: Framing,
    /** The lane that every event names. */
    private readonly streamId?: string,
    /** Names of the request's fields that were ignored, for who wants to know. */
    private readonly ignored?: readonly string[],
  ) {
    const lane = streamId === undefined ? "" : `,"stream_id":${JSON.stringify(streamId)}`;
    this.deltaEnd = `${lane}}${framing === "sse" ? "\n\n" : ""}`;
  }

  render(entry: LogEntry, number: number, out: string[]): void {
    if ("index" in entry) return this.renderItem(entry, number, out);
    out.push(this.frame(this.event(entry), number));
  }

  /** A remark beside the log; `number` is that of the event before it. */
  notice({ attempt, reason }: Notice, number: number): string {
    const notice: MigratedNotice = {
      type: "mlx_serving:response.migrated",
      response_id: this.response.id,
      attempt,
      reason,
      sequence_number: number,
      ...(this.streamId !== undefined && { stream_id: this.streamId }),
    };
    return JSON.stringify(notice);
  }

  private renderItem(entry: ItemEntry, number: number, out: string[]): void {
    if (entry.kind === "delta") out.push(this.delta(entry, number));
    else out.push(this.frame(this.itemEvent(entry), number));
  }

  private delta(entry: Entry<"delta">, number: number): string {
    const { start, hasLogprobs } = this.deltaFrameOf(entry);
    return `${start}${JSON.stringify(entry.text)}${hasLogprobs ? logprobsJson(entry) : ""},"sequence_number":${number}${this.deltaEnd}`;
  }

  private deltaFrameOf({ index, part }: Entry<"delta">): DeltaFrame {
    const { deltaFrame: last } = this;
    if (last?.index === index && last.part === part) return last;
    const { kind } = itemAt(this.response, index).item;
    const type = deltaTypes[kind];
    const sse = this.framing === "sse" ? `event: ${type}\ndata: ` : "";
    const item = JSON.stringify(itemIdOf(this.response, index));
    const place = hasParts(kind) ? `,"content_index":${part}` : "";
    const start = `${sse}{"type":"${type}","item_id":${item},"output_index":${index}${place},"delta":`;
    this.deltaFrame = { index, part, start, hasLogprobs: kind === "message" };
    return this.deltaFrame;
  }

  private frame(event: BareEvent, number: number): string {
    const whole = {
      ...event,
      sequence_number: number,
      ...(this.streamId !== undefined && { stream_id: this.streamId }),
    };
    const json = JSON.stringify(whole);
    return this.framing === "json" ? json : `event: ${event.type}\ndata: ${json}\n\n`;
  }

  private created(): BareEvent {
    const { response, ignored } = this;
    const status = isInBackground(response) ? "queued" : "in_progress";
    return {
      type: "response.created",
      response: earlyObject(response, status),
      ...(ignored !== undefined && { "mlx_serving:ignored": [...ignored] }),
    };
  }

  private event(entry: Exclude<LogEntry, ItemEntry>): BareEvent {
    const { response } = this;
    switch (entry.kind) {
      case "created":
        return this.created();
      case "queued":
        return { type: "response.queued", response: earlyObject(response, "queued") };
      case "inProgress":
        return { type: "response.in_progress", response: earlyObject(response, "in_progress") };
      case "ended": {
        const { event } = responseEndingOf(entry.ending);
        return { type: event, response: responseObject(response) };
      }
    }
  }

  private itemEvent(entry: Exclude<ItemEntry, Entry<"delta">>): BareEvent {
    const { response } = this;
    const { index: output_index } = entry;
    const place = { item_id: itemIdOf(response, output_index), output_index };
    switch (entry.kind) {
      case "itemAdded": {
        const item = emptyItem(response, output_index);
        return { type: "response.output_item.added", output_index, item };
      }
      case "partAdded": {
        const part = this.isReasoning(entry) ? emptyReasoningPart() : emptyTextPart();
        const content_index = entry.part;
        return { type: "response.content_part.added", ...place, content_index, part };
      }
      case "textDone":
        return this.textDone(entry, place);
      case "partDone": {
        const part = this.isReasoning(entry)
          ? reasoningPart(this.part(entry))
          : textPart(this.part(entry));
        const content_index = entry.part;
        return { type: "response.content_part.done", ...place, content_index, part };
      }
      case "itemDone": {
        const item = itemObject(response, output_index);
        return { type: "response.output_item.done", output_index, item };
      }
    }
  }

  private textDone(
    entry: Entry<"textDone">,
    place: { item_id: string; output_index: number },
  ): BareEvent {
    const { item } = itemAt(this.response, entry.index);
    const content_index = entry.part;
    switch (item.kind) {
      case "message": {
        const { text, logprobs } = textPart(this.part(entry));
        return { type: "response.output_text.done", ...place, content_index, text, logprobs };
      }
      case "reasoning": {
        const { text } = this.part(entry);
        return { type: "response.reasoning_text.done", ...place, content_index, text };
      }
      case "functionCall": {
        const { name } = calledName(this.response, item.name);
        const { text } = this.part(entry);
        return { type: "response.function_call_arguments.done", ...place, name, arguments: text };
      }
      case "customToolCall": {
        const { text: input } = this.part(entry);
        return { type: "response.custom_tool_call_input.done", ...place, input };
      }
    }
  }

  private isReasoning({ index }: ItemEntry): boolean {
    return itemAt(this.response, index).item.kind === "reasoning";
  }

  /** A call may have been made without a word. */
  private part({ index, part }: Entry<"textDone" | "partDone">): OutputPart {
    return itemAt(this.response, index).parts[part] ?? { text: "", logprobs: [] };
  }
}

const deltaTypes = {
  message: "response.output_text.delta",
  reasoning: "response.reasoning_text.delta",
  functionCall: "response.function_call_arguments.delta",
  customToolCall: "response.custom_tool_call_input.delta",
} as const satisfies Record<Item["kind"], BareEvent["type"]>;

function hasParts(kind: Item["kind"]): boolean {
  return kind === "message" || kind === "reasoning";
}

function logprobsJson({ logprobs }: Entry<"delta">): string {
  return `,"logprobs":${logprobs === undefined ? "[]" : JSON.stringify(tokenLogprobs(logprobs))}`;
}
