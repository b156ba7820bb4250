/**
 * What the engine asks of a durable log. Types only: `src-ts/journal` keeps one in a folder. What a
 * stored response's readers see has been written before; what could not be written is not shown.
 */
import type { ServingError } from "../errors.js";
import type { Cost } from "../machines/Batch.js";
import type { Constraint, Sampling, TurnRequest } from "../worker/messages.js";
import type { LogEntry, Priority } from "./api.js";
import type { Conversation } from "./conversation.js";

/** Of an accepted request, what another process needs to go on with it. Never changes. */
export interface Acceptance {
  id: string;
  model: string;
  owner: string;
  /** Wall-clock milliseconds. */
  createdAt: number;
  echo: unknown;
  conversation: Conversation | undefined;
  maxTokens: number;
  sampling: Sampling;
  promptTokens: Uint32Array;
  /** Its text begins a turn of a chat; else it goes on from the prompt. */
  chat: boolean;
  /** What the turn may consist of beside its message. */
  turn: TurnRequest;
  /** What the answer is kept to. */
  constraint: Constraint | undefined;
  clientId: string;
  priority: Priority;
  /** Wall-clock milliseconds: the only clock that two processes share. */
  deadlineAt: number | undefined;
  idempotency: { key: string; fingerprint: string } | undefined;
  cost: Cost;
}

/** The whole of a stored response. */
export interface StoredResponse {
  acceptance: Acceptance;
  entries: readonly LogEntry[];
  tokens: readonly number[];
  cachedTokens: number;
  reasoningTokens: number;
  forcedTokens?: number;
}

/** What came to a log since it was last written. */
export interface LogPart {
  /** Number of the first of `entries`. */
  entriesFrom: number;
  entries: readonly LogEntry[];
  /** Index of the first of `tokens`. */
  tokensFrom: number;
  tokens: readonly number[];
  cachedTokens: number;
  reasoningTokens: number;
  forcedTokens?: number;
}

/** A log as the journal sees it. One part is under way at a time. */
export interface JournaledLog {
  readonly acceptance: Acceptance;
  /** What is new since the last call; undefined: nothing. */
  takeUnwritten(): LogPart | undefined;
  /** What was taken last is durable. */
  written(): void;
  /** It could not be written even once: nobody may ever hear of it. */
  unwritable(): void;
  /** What was taken can't be written for now, and is tried again. */
  stalled(reason: ServingError): void;
  /** All of it, in place of what was written so far; counts as taken. */
  takeSnapshot(): StoredResponse;
}

export interface Journal {
  /** What earlier processes left, in the order in which it was accepted; it is kept by nobody but the caller. */
  takeRestored(): readonly StoredResponse[];
  /** What the folder holds now. */
  size(): { bytes: number; liveBytes: number; segments: number };
  /** Nothing can be written now: nothing new is taken in. */
  readonly failing: ServingError | undefined;
  /** Takes it in; ends in `written` or `unwritable`. */
  add(log: JournaledLog): void;
  /** It was read from here. */
  adopt(log: JournaledLog): void;
  /** It has something new. What comes in one turn is written together. */
  touch(log: JournaledLog): void;
  /** Forgets it, here and after a restart. */
  forget(id: string): void;
  /**
   * Resolves once all that it was told before is on disk. Rejects with `storage_unavailable` when that
   * takes as long as a reader waits; it is still written once it can be.
   */
  settled(): Promise<void>;
  /** Writes what there is, if it can be written, and lets the folder go. Nothing is taken in any more. */
  close(): Promise<void>;
}
