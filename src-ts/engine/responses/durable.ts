/**
 * What stands between a log's growing and its being seen, where it is written to disk: the log grows at
 * once, and is shown up to what has been written. Knows no entry's meaning.
 */
import type { ServingError } from "../../errors.js";
import type { Acceptance, Journal, JournaledLog, LogPart, StoredResponse } from "../journal.js";

/** How a log gets to disk, and what becomes of its first entry there. */
export interface Storing {
  journal: Journal;
  acceptance: Acceptance;
  /** The response exists from now on, whatever happens to this process. */
  onStored(): void;
  onUnstorable(): void;
}

/** Counts of what may be seen; the rest is still being written. */
export interface Shown {
  entries: number;
  tokens: number;
}

export const nothing: Shown = { entries: 0, tokens: 0 };

/** What grows and is shown. */
export interface WrittenLog {
  readonly id: string;
  /** Entries that are shown. */
  readonly entryCount: number;
  /** All that there is. */
  counts(): Shown;
  /** From these counts on. */
  since(from: Shown): LogPart;
  /** Shows what is up to `counts`; all of it, without them. */
  show(counts?: Shown): void;
  /** Sends readers away who have nothing to read. */
  interruptWaiting(reason: ServingError): void;
}

export class DurablePart implements JournaledLog {
  private added = false;
  private forgotten = false;
  private taken = nothing;

  constructor(
    private readonly log: WrittenLog,
    private readonly storing: Storing,
  ) {}

  get acceptance(): Acceptance {
    return this.storing.acceptance;
  }

  touch(): void {
    // Nobody can come back to it: whoever reads it still gets its end.
    if (this.forgotten) return this.log.show();
    const { journal } = this.storing;
    if (this.added) return journal.touch(this);
    this.added = true;
    journal.add(this);
  }

  adopt(): void {
    this.added = true;
    this.taken = this.log.counts();
    this.storing.journal.adopt(this);
  }

  forget(): void {
    if (this.forgotten) return;
    this.forgotten = true;
    this.storing.journal.forget(this.log.id);
    this.log.show();
  }

  takeUnwritten(): LogPart | undefined {
    const counts = this.log.counts();
    const { entries, tokens } = this.taken;
    if (counts.entries === entries && counts.tokens === tokens) return undefined;
    const part = this.log.since(this.taken);
    this.taken = counts;
    return part;
  }

  written(): void {
    if (this.forgotten) return;
    const isFirst = this.log.entryCount === 0;
    this.log.show(this.taken);
    if (isFirst) this.storing.onStored();
  }

  unwritable(): void {
    this.forgotten = true;
    this.storing.onUnstorable();
  }

  stalled(reason: ServingError): void {
    this.log.interruptWaiting(reason);
  }

  takeSnapshot(): StoredResponse {
    this.taken = this.log.counts();
    const { entriesFrom: _, tokensFrom: __, ...all } = this.log.since(nothing);
    return { acceptance: this.acceptance, ...all };
  }
}
