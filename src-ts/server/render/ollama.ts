/**
 * Log entries as lines of Ollama's API, and a whole response as one of them. A chat and a generation differ in where
 * a text stands alone. Calls come whole: their arguments are objects.
 */
import type { Item, LogEntry, OutputItem, Response } from "../../engine/api.js";
import type { OllamaCall, OllamaChat, OllamaGeneration } from "../../protocol/ollama.js";
import { inputOf } from "./anthropic-message.js";
import { finishReasonOf } from "./endings.js";
import { itemAt } from "./output-items.js";
import { usageOf } from "./usage.js";

/** A piece of what the model says, or all of it. */
export interface Said {
  content: string;
  thinking?: string;
  tool_calls?: OllamaCall[];
}

export type Shape = (said: Said) => Partial<OllamaChat> | Partial<OllamaGeneration>;

export const chatShape: Shape = (said) => ({ message: { role: "assistant", ...said } });

/** Whoever generates offers no tools. */
export const generationShape: Shape = ({ content, thinking }) => ({
  response: content,
  ...(thinking !== undefined && { thinking }),
});

/** Where a request's time has gone. Monotonic milliseconds; `now` reads them. */
export class Timing {
  private readonly startedAt: number;
  private takenAt: number | undefined;
  private spokeAt: number | undefined;

  constructor(private readonly now: () => number) {
    this.startedAt = now();
  }

  note({ kind }: LogEntry): void {
    if (kind === "inProgress") this.takenAt ??= this.now();
    else if (kind === "delta" || kind === "itemAdded") this.spokeAt ??= this.now();
  }

  /** In nanoseconds; the parts add up. */
  durations() {
    const end = this.now();
    const spoke = this.spokeAt ?? end;
    const taken = this.takenAt ?? spoke;
    return {
      total_duration: nanoseconds(end - this.startedAt),
      load_duration: nanoseconds(taken - this.startedAt),
      prompt_eval_duration: nanoseconds(spoke - taken),
      eval_duration: nanoseconds(end - spoke),
    };
  }
}

export function nanoseconds(ms: number): number {
  return Math.max(0, Math.round(ms * 1e6));
}

export class OllamaLines {
  /** Calls so far. */
  private calls = 0;

  constructor(
    private readonly response: Response,
    private readonly shape: Shape,
    private readonly timing: Timing,
  ) {}

  render(entry: LogEntry, _number: number, out: string[]): void {
    this.timing.note(entry);
    switch (entry.kind) {
      case "delta": {
        const { item } = itemAt(this.response, entry.index);
        if (entry.text !== "" && !isCall(item)) this.say(pieceOf(item, entry.text), out);
        return;
      }
      case "itemDone": {
        const call = callOf(itemAt(this.response, entry.index), this.calls);
        if (call === undefined) return;
        this.calls++;
        this.say({ content: "", tool_calls: [call] }, out);
        return;
      }
      case "ended":
        if (finishReasonOf(entry.ending) !== undefined)
          out.push(lineOf({ ...this.head(), ...this.shape({ content: "" }), ...this.end() }));
    }
  }

  /** Of a response that has ended well. */
  whole(): object {
    const { output, text } = this.response;
    const calls: OllamaCall[] = [];
    for (const item of output) {
      const call = callOf(item, calls.length);
      if (call !== undefined) calls.push(call);
    }
    const thinking = output
      .filter(({ item }) => item.kind === "reasoning")
      .map(textOf)
      .join("");
    const said = {
      content: text,
      ...(thinking !== "" && { thinking }),
      ...(calls.length > 0 && { tool_calls: calls }),
    };
    return { ...this.head(), ...this.shape(said), ...this.end() };
  }

  private say(said: Said, out: string[]): void {
    out.push(lineOf({ ...this.head(), ...this.shape(said), done: false }));
  }

  private head() {
    const { model, createdAt } = this.response;
    return { model, created_at: new Date(createdAt).toISOString() };
  }

  private end() {
    const usage = usageOf(this.response);
    return {
      done: true,
      done_reason: this.response.ending?.kind === "length" ? "length" : "stop",
      ...this.timing.durations(),
      prompt_eval_count: usage?.promptTokens ?? 0,
      eval_count: usage?.completionTokens ?? 0,
    };
  }
}

export function lineOf(value: object): string {
  return `${JSON.stringify(value)}\n`;
}

function isCall(item: Item): boolean {
  return "callId" in item;
}

function pieceOf({ kind }: Item, text: string): Said {
  return kind === "reasoning" ? { content: "", thinking: text } : { content: text };
}

/** Undefined of what is no call, and of one that was broken off: it can't be run. */
function callOf(output: OutputItem, index: number): OllamaCall | undefined {
  const { item } = output;
  if (!("callId" in item) || output.isIncomplete) return undefined;
  const input = inputOf(textOf(output));
  if (input === undefined) return undefined;
  return { id: item.callId, function: { index, name: item.name, arguments: input } };
}

function textOf({ parts }: OutputItem): string {
  return parts.map(({ text }) => text).join("");
}
