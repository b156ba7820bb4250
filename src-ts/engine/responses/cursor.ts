/** A reader's place in a log: pulls, never buffers. */
import type { ServingError } from "../../errors.js";
import type { Cursor, LogEntry, Notice, Response } from "../api.js";

/** What a reader's place is in. */
export interface ReadLog extends Response {
  /** Entries that may be read. */
  readonly entryCount: number;
  entryAt(number: number): LogEntry | undefined;
  closeCursor(cursor: LogCursor): void;
  /** Calls `wake` at the end of the turn. */
  wakeSoon(cursor: LogCursor): void;
}

export class LogCursor implements Cursor {
  private closed = false;
  private releaseWaiter: (() => void) | undefined;
  private readyCallback: (() => void) | undefined;
  private noticeCallback: ((notice: Notice) => void) | undefined;
  private interruptedCallback: ((reason: ServingError) => void) | undefined;
  /** Why it was sent away. */
  private interruption: ServingError | undefined;
  /** One identity, so that a turn wakes a reader once. */
  readonly wake = (): void => {
    if (!this.closed) this.readyCallback?.();
  };

  constructor(
    readonly response: ReadLog,
    public position: number,
  ) {}

  get lag(): number {
    return this.response.entryCount - this.position;
  }

  get finished(): boolean {
    return this.lag === 0 && this.response.ending !== undefined;
  }

  next(): LogEntry | undefined {
    if (this.closed) return undefined;
    const entry = this.response.entryAt(this.position);
    if (entry === undefined) return undefined;
    this.position++;
    return entry;
  }

  onReady(callback: () => void): void {
    this.readyCallback = callback;
    if (this.lag > 0 && !this.closed) this.response.wakeSoon(this);
  }

  onNotice(callback: (notice: Notice) => void): void {
    this.noticeCallback = callback;
  }

  notify(notice: Notice): void {
    if (!this.closed) this.noticeCallback?.(notice);
  }

  onInterrupted(callback: (reason: ServingError) => void): void {
    this.interruptedCallback = callback;
  }

  interrupt(reason: ServingError): void {
    if (this.closed) return;
    this.interruption = reason;
    this.close();
    this.interruptedCallback?.(reason);
  }

  ready(): Promise<void> {
    if (this.lag > 0 || this.finished || this.closed) return Promise.resolve();
    return new Promise((resolve) => {
      this.releaseWaiter = resolve;
      this.onReady(resolve);
    });
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.response.closeCursor(this);
    this.releaseWaiter?.();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<LogEntry> {
    try {
      while (!this.finished && !this.closed) {
        const entry = this.next();
        if (entry === undefined) await this.ready();
        else yield entry;
      }
      if (this.interruption !== undefined) throw this.interruption;
    } finally {
      this.close();
    }
  }
}
