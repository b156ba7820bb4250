/**
 * The log of one response: its header, its tokens and its numbered entries, append-only. Everything
 * that anybody sees of a response is read from here through cursors. Owns numbering, and what of it
 * may be seen: of a log that is written to disk only what has been written. Knows no socket, no
 * machine and no worker.
 */
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import type { Said, Sampling, StepRow, TokenLogprob } from "../../worker/messages.js";
import type {
  CallCounts,
  Ending,
  Item,
  LogEntry,
  Notice,
  OutputItem,
  ReaderLag,
  ReadingResult,
  ResponseUsage,
} from "../api.js";
import { type Conversation, textChars } from "../conversation.js";
import type { LogPart, StoredResponse } from "../journal.js";
import type { Turn } from "../turn.js";
import { LogCursor, type ReadLog } from "./cursor.js";
import { DurablePart, nothing, type Shown, type Storing, type WrittenLog } from "./durable.js";
import { isCall, itemOf, OpenItem } from "./items.js";
import { Output } from "./output.js";
import { arrivedIn, type Text, type Utterance, utterancesOf } from "./utterances.js";

/** Fixed before the first entry. */
export interface LogHeader {
  id: string;
  model: string;
  owner: string;
  createdAt: number;
  store: boolean;
  echo: unknown;
  conversation?: Conversation | undefined;
  maxTokens: number;
  sampling: Sampling;
  promptTokens: Uint32Array;
  /** Names of tools that take one text in place of arguments. */
  customTools: ReadonlySet<string>;
}

/** What the log tells its keeper. */
export interface LogKeeper {
  turn: Turn;
  cancel(id: string): void;
  /** The last reader has gone, or the first one has come back. */
  readersChanged(log: ResponseLog, readers: number): void;
  /** Its end can be seen. */
  ended(log: ResponseLog): void;
}

/** What an entry takes in memory, roughly, beside its text. */
const entryBytes = 96;
const tokenBytes = 8;
const logprobBytes = 256;

export class ResponseLog implements ReadLog, WrittenLog {
  readonly id: string;
  readonly model: string;
  readonly owner: string;
  readonly createdAt: number;
  readonly store: boolean;
  readonly echo: unknown;
  readonly conversation: Conversation | undefined;
  readonly maxTokens: number;
  readonly sampling: Sampling;
  readonly promptTokens: Uint32Array;
  cachedTokens = 0;
  private readonly customTools: ReadonlySet<string>;
  /** Its reasoning was to be bounded, and its model's can't be. */
  isUnbounded = false;
  /** Of the worker that holds it now; another one begins again. */
  reading: ReadingResult | undefined;
  private reasoningTokens = 0;
  private forcedTokens = 0;
  private readonly allTokens: number[] = [];
  private readonly allEntries: LogEntry[] = [];
  /** Of all entries: where the next text goes. */
  private readonly openItem = new OpenItem();
  /** Of tokens that have brought no text yet: it may come, or they are of a mark and say nothing. */
  private silent: TokenLogprob[] = [];
  private shown = nothing;
  /** Of the entries that are shown. */
  private readonly shownOutput = new Output();
  private readonly cursors = new Set<LogCursor>();
  private readonly durable: DurablePart | undefined;

  constructor(
    header: LogHeader,
    private readonly keeper: LogKeeper,
    storing?: Storing,
  ) {
    this.id = header.id;
    this.model = header.model;
    this.owner = header.owner;
    this.createdAt = header.createdAt;
    this.store = header.store;
    this.echo = header.echo;
    this.conversation = header.conversation;
    this.maxTokens = header.maxTokens;
    this.sampling = header.sampling;
    this.promptTokens = header.promptTokens;
    this.customTools = header.customTools;
    if (storing !== undefined) this.durable = new DurablePart(this, storing);
  }

  // What readers see.

  get entries(): readonly LogEntry[] {
    return upTo(this.allEntries, this.shown.entries);
  }

  get tokens(): readonly number[] {
    return upTo(this.allTokens, this.shown.tokens);
  }

  get output(): readonly OutputItem[] {
    return this.shownOutput.items;
  }

  get logprobs(): readonly TokenLogprob[] {
    return this.shownOutput.logprobs;
  }

  get text(): string {
    return this.shownOutput.text;
  }

  get ending(): Ending | undefined {
    return this.entryCount === this.allEntries.length ? this.finalEnding : undefined;
  }

  /** Entries that may be read. */
  get entryCount(): number {
    return this.shown.entries;
  }

  entryAt(number: number): LogEntry | undefined {
    return number < this.shown.entries ? this.allEntries[number] : undefined;
  }

  // What the engine knows of it.

  /** Every token that is out, shown or not. */
  get emitted(): readonly number[] {
    return this.allTokens;
  }

  /** Set with the terminal entry, shown or not. */
  get finalEnding(): Ending | undefined {
    const last = this.allEntries.at(-1);
    return last?.kind === "ended" ? last.ending : undefined;
  }

  get usage(): ResponseUsage {
    return {
      promptTokens: this.promptTokens.length,
      cachedTokens: this.cachedTokens,
      completionTokens: this.allTokens.length,
      reasoningTokens: this.reasoningTokens,
      ...this.forced,
    };
  }

  get calls(): CallCounts {
    return { made: this.openItem.calls, complete: this.openItem.completeCalls };
  }

  /** It outlives this process. */
  get survives(): boolean {
    return this.durable !== undefined;
  }

  addLag(sum: ReaderLag): void {
    for (const { lag } of this.cursors) {
      sum.readers++;
      sum.sum += lag;
      if (lag > sum.max) sum.max = lag;
    }
  }

  get readers(): number {
    return this.cursors.size;
  }

  /** What keeping this log costs once it has ended, in bytes, roughly. */
  get bytes(): number {
    const { textChars: shownChars, logprobCount } = this.shownOutput;
    return (
      this.allEntries.length * entryBytes +
      (shownChars + textChars(this.echo) + (this.conversation?.chars ?? 0)) * 2 +
      (this.promptTokens.length + this.allTokens.length) * tokenBytes +
      logprobCount * logprobBytes +
      (this.reading?.logprobs.length ?? 0) * logprobBytes +
      (this.reading?.vectors?.length ?? 0)
    );
  }

  // Growth.

  /** Its first entry. */
  create(): void {
    this.append({ kind: "created" });
  }

  queued(): void {
    this.append({ kind: "queued" });
  }

  inProgress(): void {
    this.append({ kind: "inProgress" });
  }

  /** New tokens and what became certain with them: at most one delta for texts of one kind beside each other. */
  emit(rows: readonly StepRow[]): void {
    const { tokens, reasoningTokens, forcedTokens, utterances } = arrivedIn(rows);
    for (const token of tokens) this.allTokens.push(token);
    this.reasoningTokens += reasoningTokens;
    this.forcedTokens += forcedTokens;
    const before = this.allEntries.length;
    for (const utterance of utterances) this.say(utterance);
    if (this.allEntries.length === before) this.grown();
  }

  /** The one end. `tail`: what was held back until the end was known. */
  end(ending: Ending, tail: Said, endedAt: number): void {
    if (this.finalEnding !== undefined) throw new Error(`response ${this.id} has ended already`);
    for (const utterance of utterancesOf(tail)) this.say(utterance);
    if (this.openItem.count === 0 && this.hasOutput(ending)) this.open({ kind: "message" });
    this.writeSilent();
    for (const entry of this.openItem.closing()) this.append(entry);
    this.append({ kind: "ended", ending, usage: this.usage, endedAt });
  }

  /** Takes over what was stored: as it was, numbers included. */
  restore(stored: StoredResponse): void {
    const { entries, tokens, cachedTokens, reasoningTokens, forcedTokens = 0 } = stored;
    for (const token of tokens) this.allTokens.push(token);
    for (const entry of entries) this.take(entry);
    this.cachedTokens = cachedTokens;
    this.reasoningTokens = reasoningTokens;
    this.forcedTokens = forcedTokens;
    this.durable?.adopt();
    this.show();
  }

  /** Tells readers something that has no number. */
  notify(notice: Notice): void {
    for (const cursor of this.cursors) cursor.notify(notice);
  }

  /** Sends every reader away. It has not ended, and they may come back. */
  interrupt(reason: ServingError): void {
    for (const cursor of [...this.cursors]) cursor.interrupt(reason);
  }

  /** The same for those who wait for what can't be shown now; others still have something to read. */
  interruptWaiting(reason: ServingError): void {
    for (const cursor of [...this.cursors]) if (cursor.lag === 0) cursor.interrupt(reason);
  }

  /** Nobody may hear of it any more: where it is stored, it is forgotten there. */
  discard(): void {
    this.durable?.forget();
  }

  read(after: number): LogCursor {
    const count = this.entryCount;
    if (!Number.isInteger(after) || after < -1 || after >= count) {
      throw failure("invalid_cursor", { last: count - 1, param: "starting_after" });
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

  /** Everything so far may be seen, or what is up to `counts`. */
  show(counts: Shown = this.counts()): void {
    const hadEnded = this.ending !== undefined;
    const grew = counts.entries > this.shown.entries;
    for (let number = this.shown.entries; number < counts.entries; number++)
      this.shownOutput.take(this.allEntries[number]!);
    this.shown = counts;
    if (grew) for (const cursor of this.cursors) this.keeper.turn.wake(cursor.wake);
    if (!hadEnded && this.ending !== undefined) this.keeper.ended(this);
  }

  /** How much there is. */
  counts(): Shown {
    return {
      entries: this.allEntries.length,
      tokens: this.allTokens.length,
    };
  }

  /** From these counts on. */
  since(from: Shown): LogPart {
    return {
      entriesFrom: from.entries,
      entries: this.allEntries.slice(from.entries),
      tokensFrom: from.tokens,
      tokens: this.allTokens.slice(from.tokens),
      cachedTokens: this.cachedTokens,
      reasoningTokens: this.reasoningTokens,
      ...this.forced,
    };
  }

  /** Most have none. */
  private get forced(): { forcedTokens?: number } {
    return this.forcedTokens > 0 ? { forcedTokens: this.forcedTokens } : {};
  }

  private say(utterance: Utterance): void {
    switch (utterance.kind) {
      case "call":
        this.silent = [];
        return this.open(this.newCall(utterance.name));
      case "callEnd":
        return this.closeCall(utterance.complete);
      default:
        return this.write(utterance);
    }
  }

  /** An item without text is none. */
  private write({ kind, text, tokens, logprobs }: Text): void {
    if (text === "") {
      this.silent.push(...logprobs);
      return;
    }
    const item = itemOf(kind, this.openItem.item);
    // Of a call that nobody has begun there is nothing to tell.
    if (item === undefined) return;
    let told = logprobs;
    if (this.silent.length > 0) {
      if (kind === "content") told = [...this.silent, ...logprobs];
      this.silent = [];
    }
    this.open(item);
    this.writeDelta(text, tokens, told);
  }

  /** A stop string has no text, and is none of a mark. */
  private writeSilent(): void {
    const { silent, openItem } = this;
    if (silent.length > 0 && openItem.item?.kind === "message")
      this.writeDelta("", silent.length, silent);
  }

  /** Of the open item. */
  private writeDelta(text: string, tokens: number, logprobs: readonly TokenLogprob[]): void {
    const { index, part } = this.openItem.place;
    const delta = { kind: "delta", index, part, text, tokens } as const;
    this.append(logprobs.length === 0 ? delta : { ...delta, logprobs });
  }

  /** Its id is a function of the response's and of how many came before: after a restart it is the same. */
  private newCall(name: string): Item {
    const kind = this.customTools.has(name) ? "customToolCall" : "functionCall";
    const own = this.id.slice(this.id.indexOf("_") + 1);
    return { kind, callId: `call_${own}_${this.openItem.calls}`, name };
  }

  private closeCall(complete: boolean): void {
    const { item } = this.openItem;
    if (item === undefined || !isCall(item)) return;
    for (const entry of this.openItem.closing(complete)) this.append(entry);
  }

  /** An answer that was asked for has an item, if it is empty too. */
  private hasOutput({ kind }: Ending): boolean {
    return this.maxTokens > 0 && kind !== "failed" && kind !== "expired";
  }

  /** Its text can follow. */
  private open(item: Item): void {
    for (const entry of this.openItem.opening(item)) this.append(entry);
  }

  private append(entry: LogEntry): void {
    this.take(entry);
    this.grown();
  }

  private take(entry: LogEntry): void {
    this.allEntries.push(entry);
    this.openItem.note(entry);
  }

  private grown(): void {
    if (this.durable === undefined) this.show();
    else this.durable.touch();
  }
}

function upTo<T>(all: readonly T[], count: number): readonly T[] {
  return count === all.length ? all : all.slice(0, count);
}
