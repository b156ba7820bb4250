/**
 * One choice of a streamed chat or completion: log entries to chunks. What all chunks of a choice
 * have in common is put together once.
 */
import type { Ending, LogEntry, Response } from "../../engine/api.js";
import type { ChatFinishReason } from "../../protocol/chat.js";
import type { CompletionLogprobs } from "../../protocol/completions.js";
import type { ReadLogprob, TokenLogprob } from "../../worker/messages.js";
import { finishReasonOf, stoppedBy } from "./endings.js";
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

type Delta = Extract<LogEntry, { kind: "delta" }>;

function callBegins(
  { item }: Extract<LogEntry, { kind: "itemAdded" }>,
  index: number,
  isLegacy: boolean,
): string {
  if (!("callId" in item)) throw new TypeError(`${item.kind} is no call`);
  const { kind, callId: id, name } = item;
  if (kind === "customToolCall")
    return JSON.stringify({
      tool_calls: [{ index, id, type: "custom", custom: { name, input: "" } }],
    });
  const called = { name, arguments: "" };
  if (isLegacy) return JSON.stringify({ function_call: called });
  return JSON.stringify({ tool_calls: [{ index, id, type: "function", function: called }] });
}

function headJson(object: string, { id, created, model }: ChunkHead): string {
  const head = JSON.stringify({ id, object, created, model });
  return `data: ${head.slice(0, -1)},"choices":[`;
}

function tailJson({ includeUsage }: ChunkHead): string {
  return `]${includeUsage ? ',"usage":null' : ""}}\n\n`;
}

/** With the stop string that ended it, if one did. */
function finishJson(reason: ChatFinishReason | undefined, ending?: Ending): string {
  if (reason === undefined || ending === undefined) return "null";
  const { stop_reason } = stoppedBy(ending);
  const stopped = stop_reason === undefined ? "" : `,"stop_reason":${JSON.stringify(stop_reason)}`;
  return JSON.stringify(reason) + stopped;
}

export class ChatChunks implements ChoiceChunks {
  private readonly start: string;
  private readonly end: string;
  private hasRole = false;

  constructor(
    private readonly response: Response,
    head: ChunkHead,
    index: number,
    /** Who asked calls tools functions. */
    private readonly isLegacy = false,
  ) {
    this.start = `${headJson("chat.completion.chunk", head)}{"index":${index},"delta":`;
    this.end = `}${tailJson(head)}`;
  }

  render(entry: LogEntry, _number: number, out: string[]): void {
    switch (entry.kind) {
      case "itemAdded":
        if ("callId" in entry.item)
          this.push(callBegins(entry, this.callIndex(entry.index), this.isLegacy), out);
        return;
      case "delta":
        return this.push(this.deltaOf(entry), out, entry.logprobs);
      case "ended": {
        const reason = finishReasonOf(entry.ending, this.isLegacy);
        if (reason === undefined) return;
        this.role(out);
        out.push(this.chunk("{}", reason, undefined, entry.ending));
      }
    }
  }

  private push(delta: string, out: string[], logprobs?: readonly TokenLogprob[]): void {
    this.role(out);
    out.push(this.chunk(delta, undefined, logprobs));
  }

  private deltaOf({ index, text }: Delta): string {
    const { item } = itemAt(this.response, index);
    const json = JSON.stringify(text);
    switch (item.kind) {
      case "message":
        return `{"content":${json}}`;
      case "reasoning":
        return `{"reasoning_content":${json}}`;
      case "functionCall":
        if (this.isLegacy) return `{"function_call":{"arguments":${json}}}`;
        return `{"tool_calls":[{"index":${this.callIndex(index)},"function":{"arguments":${json}}}]}`;
      case "customToolCall":
        return `{"tool_calls":[{"index":${this.callIndex(index)},"custom":{"input":${json}}}]}`;
    }
  }

  /** Of a call among the calls. */
  private callIndex(index: number): number {
    let calls = 0;
    for (const { item } of this.response.output.slice(0, index)) if ("callId" in item) calls++;
    return calls;
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
    ending?: Ending,
  ): string {
    const shown =
      logprobs === undefined
        ? "null"
        : JSON.stringify({ content: tokenLogprobs(logprobs), refusal: null });
    return `${this.start}${delta},"logprobs":${shown},"finish_reason":${finishJson(reason, ending)}${this.end}`;
  }
}

/** A prompt that comes before its answer. `logprobs`: of its tokens, if they are asked for. */
export interface EchoedPrompt {
  text: string;
  logprobs?: readonly ReadLogprob[] | undefined;
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
    private echoed?: EchoedPrompt,
  ) {
    this.start = `${headJson("text_completion", head)}{"index":${index},"text":`;
    this.end = `}${tailJson(head)}`;
  }

  render(entry: LogEntry, _number: number, out: string[]): void {
    this.renderPrompt(out);
    if (entry.kind === "delta") {
      if (itemAt(this.response, entry.index).item.kind !== "message") return;
      const { text, logprobs } = entry;
      this.renderText(text, logprobs, out);
    } else if (entry.kind === "ended") {
      const reason = finishReasonOf(entry.ending);
      if (reason !== undefined)
        out.push(this.chunk("", reason, this.logprobs?.end(), entry.ending));
    }
  }

  private renderPrompt(out: string[]): void {
    if (this.echoed === undefined) return;
    const { text, logprobs } = this.echoed;
    this.echoed = undefined;
    this.renderText(text, logprobs, out);
  }

  private renderText(
    text: string,
    logprobs: readonly ReadLogprob[] | undefined,
    out: string[],
  ): void {
    if (logprobs !== undefined) this.logprobs ??= new CompletionLogprobStream();
    const shown = this.logprobs?.take(text, logprobs);
    if (text !== "" || shown !== undefined) out.push(this.chunk(text, undefined, shown));
  }

  private chunk(
    text: string,
    reason: ChatFinishReason | undefined,
    logprobs?: CompletionLogprobs,
    ending?: Ending,
  ): string {
    const shown = logprobs === undefined ? "null" : JSON.stringify(logprobs);
    return `${this.start}${JSON.stringify(text)},"logprobs":${shown},"finish_reason":${finishJson(reason, ending)}${this.end}`;
  }
}
