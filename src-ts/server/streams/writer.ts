/**
 * One connection's output: pulls entries from any number of logs, as fast as the connection takes
 * them. It keeps no queue: what has not been written is still in its log, and a slow reader costs
 * cursors. Knows no protocol; a reading renders its own entries and a sink sends them.
 */
import type { Cursor, LogEntry } from "../../engine/api.js";
import type { ServingError } from "../../errors.js";

/** Where texts go. */
export interface Sink {
  /** Bytes that wait to be sent. */
  readonly bufferedBytes: number;
  /** Sends them in order, and calls back later, when they have left or the connection has. */
  write(texts: readonly string[], onSent: () => void): void;
}

/** One response on its way to this connection. */
export interface Reading {
  readonly cursor: Cursor;
  /** Appends what entry `number` looks like to `out`. */
  render(entry: LogEntry, number: number, out: string[]): void;
  /** Called once, after its terminal entry was written. */
  onEnd(): void;
  /** Called once in its place: it goes on, but can't be followed now. */
  onInterrupted(reason: ServingError): void;
}

/** Ends the connection; what it does then is its own business. */
export interface WriterOwner {
  /** Past the lag cap: tell the client and close. */
  onTooSlow(): void;
  /** Rendering, or what follows an end, has thrown: a fault of ours, and this connection's alone. */
  onFault(error: unknown): void;
}

export interface WriterLimits {
  writeBufferBytesMax: number;
  lagEntriesMax: number;
}

interface Slot {
  reading: Reading;
  /** Entries that were there before it came: catching up on them is not being slow. */
  replayEnd: number;
  waiting: boolean;
}

/** After so many entries of one response it is another one's turn. */
const entriesPerTurn = 64;

export class Writer {
  private readonly slots = new Map<Reading, Slot>();
  /** Those that may have entries to take, in the order of their turns. */
  private queue: Slot[] = [];
  private scheduled = false;
  private blocked = false;
  private closed = false;
  private readonly flushSoon = () => {
    this.scheduled = false;
    this.flush();
  };
  /** Whatever has been sent may have made room. */
  readonly sent = (): void => {
    if (!this.blocked || this.sink.bufferedBytes >= this.limits.writeBufferBytesMax) return;
    this.blocked = false;
    this.flush();
  };

  constructor(
    private readonly sink: Sink,
    private readonly limits: WriterLimits,
    private readonly owner: WriterOwner,
  ) {}

  /** Readings that have not ended. */
  get size(): number {
    return this.slots.size;
  }

  add(reading: Reading): void {
    const { cursor } = reading;
    const slot = { reading, replayEnd: cursor.position + cursor.lag, waiting: false };
    this.slots.set(reading, slot);
    cursor.onReady(() => this.wake(slot));
    cursor.onInterrupted((reason) => {
      if (this.slots.delete(reading)) reading.onInterrupted(reason);
    });
  }

  /** Stops reading everything and closes every cursor. */
  close(): void {
    this.closed = true;
    for (const { cursor } of this.slots.keys()) cursor.close();
    this.slots.clear();
    this.queue = [];
  }

  private wake(slot: Slot): void {
    if (!slot.waiting) {
      slot.waiting = true;
      this.queue.push(slot);
    }
    if (this.scheduled) return;
    this.scheduled = true;
    // All readers of a turn are woken in one go: a microtask later, one flush serves them all.
    queueMicrotask(this.flushSoon);
  }

  private flush(): void {
    if (this.closed) return;
    try {
      if (!this.blocked) this.pull();
      else if (this.lag() > this.limits.lagEntriesMax) this.owner.onTooSlow();
    } catch (error) {
      this.owner.onFault(error);
    }
  }

  private pull(): void {
    const out: string[] = [];
    const ended: Reading[] = [];
    const room = this.limits.writeBufferBytesMax - this.sink.bufferedBytes;
    this.take(room, out, ended);
    if (out.length > 0) this.sink.write(out, this.sent);
    this.blocked = this.queue.length > 0;
    for (const reading of ended) if (!this.closed) reading.onEnd();
  }

  /** Renders until nothing waits or `room` is used up. */
  private take(room: number, out: string[], ended: Reading[]): void {
    let left = room;
    while (left > 0) {
      const slot = this.queue.shift();
      if (slot === undefined) return;
      slot.waiting = false;
      // Interrupted while it waited for its turn.
      if (!this.slots.has(slot.reading)) continue;
      left = this.takeFrom(slot, left, out);
      if (slot.reading.cursor.finished) {
        this.slots.delete(slot.reading);
        slot.reading.cursor.close();
        ended.push(slot.reading);
      } else if (slot.reading.cursor.lag > 0) {
        slot.waiting = true;
        this.queue.push(slot);
      }
    }
  }

  private takeFrom({ reading }: Slot, room: number, out: string[]): number {
    const { cursor } = reading;
    let left = room;
    for (let i = 0; i < entriesPerTurn && left > 0; i++) {
      const number = cursor.position;
      const entry = cursor.next();
      if (entry === undefined) break;
      const from = out.length;
      reading.render(entry, number, out);
      for (let j = from; j < out.length; j++) left -= out[j]!.length;
    }
    return left;
  }

  /** Entries that came while it was reading and that it has not taken, over all responses. */
  private lag(): number {
    let sum = 0;
    for (const { reading, replayEnd } of this.slots.values()) {
      const { position, lag } = reading.cursor;
      sum += position + lag - Math.max(position, replayEnd);
    }
    return sum;
  }
}
