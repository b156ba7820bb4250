/**
 * The durable log: what stored responses have new is gathered while a write is under way and goes out
 * with the next one, all of it in one frame. Owns the order of writing, what is done when a write
 * fails, and which segments are still needed. Bytes are `frames.ts`'s, a log's content its own.
 */

import type { Journal, JournaledLog, StoredResponse } from "../engine/journal.js";
import type { Clock } from "../engine/ports.js";
import type { ServingError } from "../errors.js";
import { failure } from "../failures.js";
import type { Disk } from "./disk.js";
import { encodeFrame } from "./frames.js";
import { encodeRecord, type JournalRecord } from "./records.js";
import type { Recovered } from "./recovery.js";
import { Segments } from "./segments.js";

export interface JournalOptions {
  disk: Disk;
  clock: Clock;
  /** 0 ≤ x < 1. */
  random(): number;
  /** Wait until what was written would survive a loss of power. */
  fsync: boolean;
  segmentBytesMax: number;
  recovered: Recovered;
  /** Gives the folder back. */
  release(): void;
  log(level: "info" | "warn" | "error", message: string, fields: Record<string, unknown>): void;
}

/** Pause before a failed write is tried again. */
const retryMs = 250;
/** Readers who wait so long for what can't be written are sent away. */
const stallMs = 5_000;
/** A frame is closed when it has so much; one response alone may have more. */
const frameBytesMax = 4 * 2 ** 20;

/** One write. */
interface Batch {
  /** Those that get their first entry with it. */
  entering: Set<JournaledLog>;
  logs: Map<JournaledLog, Entry>;
  /** Copies of what another version wrote, by id. */
  foreign: Map<string, Buffer>;
  forgotten: string[];
  /** Those who wait until all up to here is written. */
  settling: Settling[];
}

interface Settling {
  written(): void;
  fail(reason: ServingError): void;
}

interface Entry {
  record: JournalRecord;
  bytes: Buffer;
}

export class SegmentJournal implements Journal {
  failing: ServingError | undefined;
  private failingSince = 0;
  private readonly logs = new Map<string, JournaledLog>();
  private readonly entering = new Set<JournaledLog>();
  private readonly dirty = new Set<JournaledLog>();
  /** To be written whole, so that their old segments can go. */
  private readonly moving = new Set<JournaledLog>();
  /** The same of what another version wrote, by id. */
  private readonly movingForeign = new Set<string>();
  private forgotten: string[] = [];
  private settling: Settling[] = [];
  private readonly segments: Segments;
  private running: Promise<void> | undefined;
  private closing = false;
  private wakeUp: () => void = () => {};

  constructor(private readonly options: JournalOptions) {
    this.segments = new Segments(options);
  }

  takeRestored(): readonly StoredResponse[] {
    const { recovered } = this.options;
    const { responses } = recovered;
    recovered.responses = [];
    return responses;
  }

  size(): ReturnType<Segments["size"]> {
    return this.segments.size();
  }

  add(log: JournaledLog): void {
    if (this.failing !== undefined || this.closing) {
      this.options.clock.soon(() => log.unwritable());
      return;
    }
    this.logs.set(log.acceptance.id, log);
    this.entering.add(log);
    this.touch(log);
  }

  adopt(log: JournaledLog): void {
    const { id } = log.acceptance;
    this.logs.set(id, log);
    // What follows the gap in its old segments must not be taken for its continuation.
    if (this.options.recovered.cutBack.has(id)) this.moveLater(log);
  }

  touch(log: JournaledLog): void {
    this.dirty.add(log);
    this.wantWrite();
  }

  forget(id: string): void {
    const log = this.logs.get(id);
    if (log === undefined) return;
    this.logs.delete(id);
    this.dirty.delete(log);
    this.moving.delete(log);
    // What was never written needs no word about its end; what may be under way does.
    this.entering.delete(log);
    this.forgotten.push(id);
    this.wantWrite();
  }

  settled(): Promise<void> {
    if (this.running === undefined && this.failing === undefined && !this.hasWork)
      return Promise.resolve();
    if (this.running === undefined && this.closing) return Promise.reject(this.reason);
    return new Promise((written, fail) => {
      this.settling.push({ written, fail });
      this.wantWrite();
    });
  }

  async close(): Promise<void> {
    this.closing = true;
    this.wakeUp();
    await this.running;
    this.failSettling(this.settling);
    await this.segments.close();
    this.options.release();
  }

  private wantWrite(): void {
    if (this.running !== undefined || this.closing) return;
    this.running = this.run().finally(() => {
      this.running = undefined;
      if (this.hasWork) this.wantWrite();
    });
  }

  private get hasWork(): boolean {
    const moving = this.moving.size + this.movingForeign.size;
    return this.dirty.size + moving + this.forgotten.length + this.settling.length > 0;
  }

  private async run(): Promise<void> {
    // The rest of this turn goes with it.
    await new Promise<void>((resolve) => this.options.clock.soon(resolve));
    while (this.hasWork) {
      const batch = this.gather();
      while (!(await this.write(batch))) {
        this.failed(batch);
        if (this.closing) return this.failSettling(batch.settling);
        await this.pause();
      }
      this.succeeded(batch);
      if (this.segments.needsMoving) this.move();
    }
  }

  // A write: gathered, tried, done.

  private gather(): Batch {
    const { forgotten, settling } = this;
    const noLogs = { entering: new Set<JournaledLog>(), logs: new Map(), foreign: new Map() };
    const batch: Batch = { ...noLogs, forgotten, settling };
    this.forgotten = [];
    this.settling = [];
    for (const id of this.movingForeign) batch.foreign.set(id, this.copyOf(id));
    for (const log of this.moving) batch.logs.set(log, entryOf(wholeOf(log)));
    for (const log of this.dirty) if (!batch.logs.has(log)) this.gatherNew(log, batch);
    this.moving.clear();
    this.movingForeign.clear();
    this.dirty.clear();
    this.entering.clear();
    return batch;
  }

  private gatherNew(log: JournaledLog, batch: Batch): void {
    if (this.entering.has(log)) {
      batch.entering.add(log);
      batch.logs.set(log, entryOf(wholeOf(log)));
      return;
    }
    const part = log.takeUnwritten();
    const { id } = log.acceptance;
    if (part !== undefined) batch.logs.set(log, entryOf({ kind: "part", id, part }));
  }

  /** False when it failed, and nothing of it counts. */
  private async write(batch: Batch): Promise<boolean> {
    if (batch.logs.size + batch.foreign.size + batch.forgotten.length === 0) return true;
    try {
      await this.segments.append((salt) => framesOf(batch, salt));
      return true;
    } catch (error) {
      this.noteFailure(error as NodeJS.ErrnoException);
      return false;
    }
  }

  private succeeded(batch: Batch): void {
    if (this.failing !== undefined)
      this.options.log("info", "the journal can be written again", {});
    this.failing = undefined;
    for (const [{ acceptance }, { record, bytes }] of batch.logs)
      if (record.kind === "whole") this.segments.replaced(acceptance.id, bytes.length);
      else this.segments.grew(acceptance.id, bytes.length);
    for (const [id, bytes] of batch.foreign) this.segments.replaced(id, bytes.length);
    for (const id of batch.forgotten) this.segments.drop(id);
    for (const log of batch.logs.keys()) log.written();
    for (const { written } of batch.settling) written();
    void this.segments.removeUnneeded();
  }

  /** New ones are turned away, the others wait; whoever reads them is told after a while. */
  private failed(batch: Batch): void {
    for (const log of batch.entering) {
      batch.logs.delete(log);
      // It may have got to the disk all the same.
      this.discard(log, batch);
    }
    batch.entering.clear();
    for (const log of this.entering) this.discard(log, batch);
    this.entering.clear();
    if (this.options.clock.now() - this.failingSince < stallMs) return;
    for (const log of [...batch.logs.keys(), ...this.dirty]) log.stalled(this.failing!);
    this.failSettling(batch.settling);
    this.failSettling(this.settling);
  }

  private failSettling(all: Settling[]): void {
    for (const { fail } of all.splice(0)) fail(this.reason);
  }

  private get reason(): ServingError {
    return this.failing ?? storageUnavailable(undefined);
  }

  private discard(log: JournaledLog, batch: Batch): void {
    const { id } = log.acceptance;
    this.logs.delete(id);
    this.dirty.delete(log);
    batch.forgotten.push(id);
    log.unwritable();
  }

  private noteFailure(error: NodeJS.ErrnoException): void {
    if (this.failing === undefined) {
      this.failingSince = this.options.clock.now();
      const fields = { code: error.code, reason: error.message };
      this.options.log("error", "the journal can't be written; stored responses wait", fields);
    }
    this.failing = storageUnavailable(error.code);
  }

  private pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.options.clock.after(retryMs * (0.5 + this.options.random()), resolve);
      this.wakeUp = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  private move(): void {
    for (const id of this.segments.oldestIds()) {
      const log = this.logs.get(id);
      if (log !== undefined) this.moving.add(log);
      else if (this.options.recovered.foreign.has(id)) this.movingForeign.add(id);
    }
  }

  /** Behind the word that nothing before counts, or it would be there twice. */
  private copyOf(id: string): Buffer {
    const { records } = this.options.recovered.foreign.get(id)!;
    return Buffer.concat([encodeRecord({ kind: "forgotten", id }), ...records]);
  }

  private moveLater(log: JournaledLog): void {
    this.moving.add(log);
    this.wantWrite();
  }
}

function wholeOf(log: JournaledLog): JournalRecord {
  return { kind: "whole", response: log.takeSnapshot() };
}

function entryOf(record: JournalRecord): Entry {
  return { record, bytes: encodeRecord(record) };
}

/** The forgotten first: a copy of a response may follow the word that it is gone, never the reverse. */
function* framesOf({ forgotten, logs, foreign }: Batch, salt: number): Generator<Buffer> {
  let records: Buffer[] = forgotten.map((id) => encodeRecord({ kind: "forgotten", id }));
  let bytes = records.reduce((sum, record) => sum + record.length, 0);
  for (const one of [...[...logs.values()].map(({ bytes }) => bytes), ...foreign.values()]) {
    if (bytes > 0 && bytes + one.length > frameBytesMax) {
      yield encodeFrame(Buffer.concat(records), salt);
      records = [];
      bytes = 0;
    }
    records.push(one);
    bytes += one.length;
  }
  if (bytes > 0) yield encodeFrame(Buffer.concat(records), salt);
}

function storageUnavailable(code: string | undefined): ServingError {
  const why = code === "ENOSPC" || code === "EDQUOT" ? "its disk is full" : "it can't be written";
  return failure("storage_unavailable", { why });
}
