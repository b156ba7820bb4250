/**
 * One choice of a streamed chat or completion: log entries to chunks. What all chunks of a choice
 * have in common is put together once.
 */
import type { Item, LogEntry, Response } from "../../engine/api.js";
import type { ChatFinishReason } from "../../protocol/chat.js";
import type { CompletionLogprobs } from "../../protocol/completions.js";
import type { TokenLogprob } from "../../worker/messages.js";
import { finishReasonOf } from "./endings.js";
import { CompletionLogprobStream, tokenLogprobs } from "./logprobs.js";
import { itemAt } from "./output-items.js";

/** What is the same in every chunk of a request. */
export interface ChunkHead {
  id: string;
  /** Unix seconds. */
  created: number;
  model: string;
  /** Every chunk but the last then has `usage: null`. */
  includeUsage: boolean;
}

export interface ChoiceChunks {
  render(entry: LogEntry, number: number, out: string[]): void;
}

/**
 * Where the text of an item stands in a chat's choice. Undefined: nowhere yet; calls would be `tool_calls`, reasoning
 * `reasoning_content`. Completions have text, and nothing else.
 */
function fieldOf({ kind }: Item): "content" | undefined {
  switch (kind) {
    case "message":
      return "content";
    case "functionCall":
    case "customToolCall":
    case "reasoning":
      return undefined;
  }
}

function headJson(object: string, { id, created, model }: ChunkHead): string {
  const head = JSON.stringify({ id, object, created, model });
  return `data: ${head.slice(0, -1)},"choices":[`;
}

function tailJson({ includeUsage }: ChunkHead): string {
  return `]${includeUsage ? ',"usage":null' : ""}}\n\n`;
}

function finishJson(reason: ChatFinishReason | undefined): string {
  return reason === undefined ? "null" : JSON.stringify(reason);
}

export class ChatChunks implements ChoiceChunks {
  private readonly start: string;
  private readonly end: string;
  private hasRole = false;

  constructor(
    private readonly response: Response,
    head: ChunkHead,
    index: number,
  ) {
    this.start = `${headJson("chat.completion.chunk", head)}{"index":${index},"delta":`;
    this.end = `}${tailJson(head)}`;
  }

  render(entry: LogEntry, _number: number, out: string[]): void {
    if (entry.kind === "delta") {
      const field = fieldOf(itemAt(this.response, entry.index).item);
      if (field === undefined) return;
      this.role(out);
      const delta = `{"${field}":${JSON.stringify(entry.text)}}`;
      out.push(this.chunk(delta, undefined, entry.logprobs));
    } else if (entry.kind === "ended") {
      const reason = finishReasonOf(entry.ending);
      if (reason === undefined) return;
      this.role(out);
      out.push(this.chunk("{}", reason));
    }
  }

  private role(out: string[]): void {
    if (this.hasRole) return;
    this.hasRole = true;
    out.push(this.chunk('{"role":"assistant","content":""}', undefined));
  }

  private chunk(
    delta: string,
    reason: ChatFinishReason | undefined,
    logprobs?: readonly TokenLogprob[],
  ): string {
    const shown =
      logprobs === undefined
        ? "null"
        : JSON.stringify({ content: tokenLogprobs(logprobs), refusal: null });
    return `${this.start}${delta},"logprobs":${shown},"finish_reason":${finishJson(reason)}${this.end}`;
  }
}

export class CompletionChunks implements ChoiceChunks {
  private readonly start: string;
  private readonly end: string;
  /** Once log probabilities have come. */
  private logprobs: CompletionLogprobStream | undefined;

  constructor(
    private readonly response: Response,
    head: ChunkHead,
    index: number,
  ) {
    this.start = `${headJson("text_completion", head)}{"index":${index},"text":`;
    this.end = `}${tailJson(head)}`;
  }

  render(entry: LogEntry, _number: number, out: string[]): void {
    if (entry.kind === "delta") {
      if (itemAt(this.response, entry.index).item.kind !== "message") return;
      const { text, logprobs } = entry;
      if (logprobs !== undefined) this.logprobs ??= new CompletionLogprobStream();
      const shown = this.logprobs?.take(text, logprobs);
      if (text !== "" || shown !== undefined) out.push(this.chunk(text, undefined, shown));
    } else if (entry.kind === "ended") {
      const reason = finishReasonOf(entry.ending);
      if (reason !== undefined) out.push(this.chunk("", reason, this.logprobs?.end()));
    }
  }

  private chunk(
    text: string,
    reason: ChatFinishReason | undefined,
    logprobs?: CompletionLogprobs,
  ): string {
    const shown = logprobs === undefined ? "null" : JSON.stringify(logprobs);
    return `${this.start}${JSON.stringify(text)},"logprobs":${shown},"finish_reason":${finishJson(reason)}${this.end}`;
  }
}
