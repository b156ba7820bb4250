/** Logs and a journal over a folder in memory. */

import type { LogEntry } from "../../../src-ts/engine/api.js";
import type {
  Acceptance,
  JournaledLog,
  LogPart,
  StoredResponse,
} from "../../../src-ts/engine/journal.js";
import type { ServingError } from "../../../src-ts/errors.js";
import { type JournalOptions, SegmentJournal } from "../../../src-ts/journal/journal.js";
import {
  decodeFrame,
  type ForeignRecord,
  type JournalRecord,
} from "../../../src-ts/journal/records.js";
import { recover } from "../../../src-ts/journal/recovery.js";
import type { MemoryDisk } from "../../support/memory-disk.js";
import { VirtualClock } from "../engine/sim.js";

export const acceptanceOf = (id: string, changes: Partial<Acceptance> = {}): Acceptance => ({
  id,
  model: "m",
  owner: "o",
  createdAt: 1_700_000_000_000,
  echo: { kind: "response", metadata: { a: "b" }, instructions: null },
  maxTokens: 10,
  sampling: {
    temperature: 0.5,
    topP: 1,
    topK: 0,
    minP: 0,
    repetitionPenalty: 1,
    presencePenalty: 0,
    frequencyPenalty: 0,
    logitBias: [[3, -1.5]],
    seed: 18_446_744_073_709_551_615n,
    stop: ["."],
    logprobs: 1,
  },
  promptTokens: Uint32Array.of(1, 2, 70_000),
  conversation: undefined,
  chat: true,
  turn: {},
  constraint: { kind: "json", text: '{"type":"object"}' },
  clientId: "c",
  priority: "normal",
  deadlineAt: undefined,
  idempotency: undefined,
  cost: { promptTokens: 3, newTokens: 10, kvBytes: 1_000 },
  ...changes,
});

/** The records of a frame. */
export function decoded(payload: Buffer): (JournalRecord | ForeignRecord)[] {
  const records: (JournalRecord | ForeignRecord)[] = [];
  decodeFrame(payload, (record) => records.push(record));
  return records;
}

export const delta = (text: string): LogEntry => ({
  kind: "delta",
  index: 0,
  part: 0,
  text,
  tokens: 1,
});

/** What a log has before its first text. */
export const begun: readonly LogEntry[] = [
  { kind: "itemAdded", index: 0, item: { kind: "message" } },
  { kind: "partAdded", index: 0, part: 0 },
];

/** A log in a test's hands. */
export class TestLog implements JournaledLog {
  readonly entries: LogEntry[] = [];
  readonly tokens: number[] = [];
  private taken = { entries: 0, tokens: 0 };
  writtenEntries = 0;
  refused = false;
  stalls: ServingError[] = [];

  constructor(readonly acceptance: Acceptance) {}

  /** Text brings its item along, as in a real log. */
  grow(...entries: LogEntry[]): this {
    for (const entry of entries) {
      const hasItem = this.entries.some(({ kind }) => kind === "itemAdded");
      if (entry.kind === "delta" && !hasItem) this.entries.push(...begun);
      if (entry.kind === "delta") this.tokens.push(this.tokens.length);
      this.entries.push(entry);
    }
    return this;
  }

  takeUnwritten(): LogPart | undefined {
    const { entries: entriesFrom, tokens: tokensFrom } = this.taken;
    if (entriesFrom === this.entries.length && tokensFrom === this.tokens.length) return undefined;
    this.taken = { entries: this.entries.length, tokens: this.tokens.length };
    return {
      entriesFrom,
      entries: this.entries.slice(entriesFrom),
      tokensFrom,
      tokens: this.tokens.slice(tokensFrom),
      cachedTokens: 0,
      reasoningTokens: 0,
    };
  }

  takeSnapshot(): StoredResponse {
    this.taken = { entries: this.entries.length, tokens: this.tokens.length };
    const { acceptance, entries, tokens } = this;
    return {
      acceptance,
      entries: [...entries],
      tokens: [...tokens],
      cachedTokens: 0,
      reasoningTokens: 0,
    };
  }

  written(): void {
    this.writtenEntries = this.taken.entries;
  }

  unwritable(): void {
    this.refused = true;
  }

  stalled(reason: ServingError): void {
    this.stalls.push(reason);
  }
}

export interface Opened {
  journal: SegmentJournal;
  clock: VirtualClock;
  messages: string[];
  released: () => number;
}

export async function open(
  disk: MemoryDisk,
  options: Partial<JournalOptions> = {},
): Promise<Opened> {
  const clock = new VirtualClock();
  const messages: string[] = [];
  let released = 0;
  let salts = 0;
  const journal = new SegmentJournal({
    disk,
    clock,
    random: () => (++salts * 0.618_034) % 1,
    fsync: false,
    segmentBytesMax: 1_000,
    recovered: await recover(disk),
    release: () => {
      released++;
    },
    log: (_level, message) => messages.push(message),
    ...options,
  });
  return { journal, clock, messages, released: () => released };
}

/** What the next process finds: text by id, with a mark behind what has ended. */
export async function contents(disk: MemoryDisk): Promise<Record<string, string>> {
  const { responses } = await recover(disk);
  return Object.fromEntries(responses.map((one) => [one.acceptance.id, textOf(one.entries)]));
}

export function textOf(entries: readonly LogEntry[]): string {
  return entries
    .map((entry) => {
      if (entry.kind === "delta") return entry.text;
      return entry.kind === "ended" ? "." : "";
    })
    .join("");
}

export const ended: LogEntry = {
  kind: "ended",
  ending: { kind: "stop" },
  usage: { promptTokens: 3, cachedTokens: 0, completionTokens: 2, reasoningTokens: 0 },
  endedAt: 1_700_000_000_500,
};
