/**
 * A response's log entries as events of the Responses API. One entry is one event and its number the
 * event's, so every reader sees the same, whenever it reads. Text deltas are the hot path: all but the
 * text and the number is put together once.
 */
import type { LogEntry, Notice, Response } from "../../engine/api.js";
import type { MigratedNotice, ResponseStreamEvent } from "../../protocol/events.js";
import { responseEndingOf } from "./endings.js";
import { tokenLogprobs } from "./logprobs.js";
import {
  earlyObject,
  emptyMessage,
  emptyTextPart,
  isInBackground,
  itemIdOf,
  outputMessage,
  responseObject,
  textPart,
} from "./response-object.js";

type Bare<T> = T extends unknown ? Omit<T, "sequence_number" | "stream_id"> : never;
type BareEvent = Bare<ResponseStreamEvent>;

/** `sse`: with the `event:` and `data:` lines; `json`: the bare object. */
export type Framing = "sse" | "json";

export class ResponseEvents {
  private readonly deltaStart: string;
  private readonly deltaEnd: string;
  private readonly itemId: string;

  constructor(
    private readonly response: Response,
    private readonly framing: Framing,
    /** The lane that every event names. */
    private readonly streamId?: string,
    /** Names of the request's fields that were ignored, for who wants to know. */
    private readonly ignored?: readonly string[],
  ) {
    this.itemId = itemIdOf(response.id);
    const type = "response.output_text.delta";
    const sse = framing === "sse" ? `event: ${type}\ndata: ` : "";
    const item = JSON.stringify(this.itemId);
    this.deltaStart = `${sse}{"type":"${type}","item_id":${item},"output_index":0,"content_index":0,"delta":`;
    const lane = streamId === undefined ? "" : `,"stream_id":${JSON.stringify(streamId)}`;
    this.deltaEnd = `${lane}}${framing === "sse" ? "\n\n" : ""}`;
  }

  render(entry: LogEntry, number: number, out: string[]): void {
    if (entry.kind === "textDelta") out.push(this.delta(entry, number));
    else out.push(this.frame(this.event(entry), number));
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

  private delta(entry: Extract<LogEntry, { kind: "textDelta" }>, number: number): string {
    const { text, logprobs } = entry;
    const shown = logprobs === undefined ? "[]" : JSON.stringify(tokenLogprobs(logprobs));
    return `${this.deltaStart}${JSON.stringify(text)},"logprobs":${shown},"sequence_number":${number}${this.deltaEnd}`;
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

  private event(entry: Exclude<LogEntry, { kind: "textDelta" }>): BareEvent {
    const { response } = this;
    const place = { item_id: this.itemId, output_index: 0, content_index: 0 };
    switch (entry.kind) {
      case "created":
        return this.created();
      case "queued":
        return { type: "response.queued", response: earlyObject(response, "queued") };
      case "inProgress":
        return { type: "response.in_progress", response: earlyObject(response, "in_progress") };
      case "itemAdded":
        return {
          type: "response.output_item.added",
          output_index: 0,
          item: emptyMessage(response),
        };
      case "partAdded":
        return { type: "response.content_part.added", ...place, part: emptyTextPart() };
      case "textDone": {
        const logprobs = tokenLogprobs(response.logprobs);
        return { type: "response.output_text.done", ...place, text: response.text, logprobs };
      }
      case "partDone":
        return { type: "response.content_part.done", ...place, part: textPart(response) };
      case "itemDone":
        return {
          type: "response.output_item.done",
          output_index: 0,
          item: outputMessage(response),
        };
      case "ended": {
        const { event } = responseEndingOf(entry.ending);
        return { type: event, response: responseObject(response) };
      }
    }
  }
}
