/**
 * The log of one response: its header, its tokens and its numbered entries, append-only. Everything
 * that anybody sees of a response is read from here through cursors. Owns numbering; knows no socket,
 * no machine and no worker.
 */
import { ServingError } from "../errors.js";
import type { Sampling, TokenLogprob } from "../worker/messages.js";
import type { Ending, LogEntry, Notice, Response, ResponseUsage } from "./api.js";
import { LogCursor } from "./cursor.js";
import type { Turn } from "./turn.js";

/** Fixed before the first entry. */
export interface LogHeader {
  id: string;
  model: string;
  owner: string;
  createdAt: number;
  store: boolean;
  echo: unknown;
  maxTokens: number;
  sampling: Sampling;
  promptTokens: Uint32Array;
}

/** What the log tells its keeper. */
export interface LogKeeper {
  turn: Turn;
  cancel(id: string): void;
  /** The last reader has gone, or the first one has come back. */
  readersChanged(log: ResponseLog, readers: number): void;
}

/** What an entry takes in memory, roughly, beside its text. */
const entryBytes = 96;
const tokenBytes = 8;

export class ResponseLog implements Response {
  readonly id: string;
  readonly model: string;
  readonly owner: string;
  readonly createdAt: number;
  readonly store: boolean;
  readonly echo: unknown;
  readonly maxTokens: number;
  readonly sampling: Sampling;
  readonly promptTokens: Uint32Array;
  readonly tokens: number[] = [];
  readonly entries: LogEntry[] = [];
  readonly logprobs: TokenLogprob[] = [];
  cachedTokens = 0;
  ending: Ending | undefined;
  private textSoFar = "";
  private opened = false;
  private readonly cursors = new Set<LogCursor>();

  constructor(
    header: LogHeader,
    private readonly keeper: LogKeeper,
  ) {
    this.id = header.id;
    this.model = header.model;
    this.owner = header.owner;
    this.createdAt = header.createdAt;
    this.store = header.store;
    this.echo = header.echo;
    this.maxTokens = header.maxTokens;
    this.sampling = header.sampling;
    this.promptTokens = header.promptTokens;
    this.append({ kind: "created" });
  }

  get text(): string {
    return this.textSoFar;
  }

  get readers(): number {
    return this.cursors.size;
  }

  /** What keeping this log costs, in bytes, roughly. */
  get bytes(): number {
    return (
      this.entries.length * entryBytes +
      this.textSoFar.length * 2 +
      (this.promptTokens.length + this.tokens.length) * tokenBytes +
      this.logprobs.length * 256
    );
  }

  get usage(): ResponseUsage {
    return {
      promptTokens: this.promptTokens.length,
      cachedTokens: this.cachedTokens,
      completionTokens: this.tokens.length,
    };
  }

  queued(): void {
    this.append({ kind: "queued" });
  }

  inProgress(): void {
    this.append({ kind: "inProgress" });
  }

  /** New tokens and the text that became certain with them: at most one entry. */
  emit(tokens: readonly number[], text: string, logprobs: readonly TokenLogprob[]): void {
    for (const token of tokens) this.tokens.push(token);
    for (const logprob of logprobs) this.logprobs.push(logprob);
    if (text === "" && logprobs.length === 0) return;
    this.open();
    this.textSoFar += text;
    const delta = { kind: "textDelta", text, tokens: tokens.length } as const;
    this.append(logprobs.length === 0 ? delta : { ...delta, logprobs });
  }

  /** The one end. `tail`: text that was held back until the end was known. */
  end(ending: Ending, tail: string, endedAt: number): void {
    if (this.ending !== undefined) throw new Error(`response ${this.id} has ended already`);
    if (tail !== "") this.emit([], tail, []);
    if (ending.kind !== "failed" && ending.kind !== "expired") this.open();
    if (this.opened) {
      this.append({ kind: "textDone" });
      this.append({ kind: "partDone" });
      this.append({ kind: "itemDone" });
    }
    this.ending = ending;
    this.append({ kind: "ended", ending, usage: this.usage, endedAt });
  }

  /** Tells readers something that has no number. */
  notify(notice: Notice): void {
    for (const cursor of this.cursors) cursor.notify(notice);
  }

  read(after: number): LogCursor {
    if (!Number.isInteger(after) || after < -1 || after >= this.entries.length) {
      throw new ServingError(
        `starting_after must be between -1 and ${this.entries.length - 1}, the last event so far`,
        { code: "invalid_cursor", status: 400, param: "starting_after" },
      );
    }
    const cursor = new LogCursor(this, after + 1);
    this.cursors.add(cursor);
    if (this.cursors.size === 1) this.keeper.readersChanged(this, 1);
    return cursor;
  }

  closeCursor(cursor: LogCursor): void {
    this.cursors.delete(cursor);
    this.keeper.turn.forget(cursor.wake);
    if (this.cursors.size === 0) this.keeper.readersChanged(this, 0);
  }

  wakeSoon(cursor: LogCursor): void {
    this.keeper.turn.wake(cursor.wake);
  }

  cancel(): void {
    this.keeper.cancel(this.id);
  }

  private open(): void {
    if (this.opened) return;
    this.opened = true;
    this.append({ kind: "itemAdded" });
    this.append({ kind: "partAdded" });
  }

  private append(entry: LogEntry): void {
    this.entries.push(entry);
    for (const cursor of this.cursors) this.keeper.turn.wake(cursor.wake);
  }
}
