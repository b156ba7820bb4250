/**
 * A folder in memory that can be full, fail, lose what was not written, and be damaged. Time passes on
 * it only where the test says so.
 */
import type { Disk, DiskFile } from "../../src-ts/journal/disk.js";

export interface DiskFaults {
  /** Bytes that still fit, over all files. */
  roomBytes: number;
  /** Every write fails with this code, having written this share of it. */
  writeFails: { code: string; share: number } | undefined;
  truncateFails: boolean;
  /** Passes before an operation is done. */
  delay: () => Promise<void>;
}

const noDelay = () => Promise.resolve();

export class MemoryDisk implements Disk {
  readonly files = new Map<string, Buffer>();
  readonly faults: DiskFaults = {
    roomBytes: Number.POSITIVE_INFINITY,
    writeFails: undefined,
    truncateFails: false,
    delay: noDelay,
  };
  writes = 0;
  syncs = 0;
  /** Set: what is written from now on never arrives, as after the death of the process. */
  isDead = false;
  private readonly underway = new Set<{ name: string; data: Uint8Array; offset: number }>();

  list(): Promise<string[]> {
    return Promise.resolve([...this.files.keys()]);
  }

  read(name: string): Promise<Buffer> {
    return Promise.resolve(Buffer.from(this.files.get(name)!));
  }

  async create(name: string): Promise<DiskFile> {
    await this.faults.delay();
    if (this.files.has(name)) throw failure("EEXIST");
    if (this.faults.roomBytes <= 0) throw failure("ENOSPC");
    if (!this.isDead) this.files.set(name, Buffer.alloc(0));
    return {
      write: (data, offset) => this.write(name, data, offset),
      sync: async () => {
        this.syncs++;
      },
      truncate: (bytes) => this.truncate(name, bytes),
      close: () => Promise.resolve(),
    };
  }

  async truncate(name: string, bytes: number): Promise<void> {
    if (this.faults.truncateFails) throw failure("EIO");
    if (this.isDead) return;
    const before = this.files.get(name)!;
    this.faults.roomBytes += before.length - bytes;
    this.files.set(name, before.subarray(0, bytes));
  }

  async remove(name: string): Promise<void> {
    if (this.isDead) return;
    this.faults.roomBytes += this.files.get(name)?.length ?? 0;
    this.files.delete(name);
  }

  sync(): Promise<void> {
    this.syncs++;
    return Promise.resolve();
  }

  /** The same folder for the next process. Of a write that was under way a part may have arrived. */
  afterDeath(arrived: (bytes: number) => number = () => 0): MemoryDisk {
    for (const { name, data, offset } of this.underway)
      if (this.files.has(name)) this.put(name, data.subarray(0, arrived(data.length)), offset);
    this.isDead = true;
    const next = new MemoryDisk();
    for (const [name, data] of this.files) next.files.set(name, Buffer.from(data));
    return next;
  }

  flipBit(name: string, bit: number): void {
    const data = Buffer.from(this.files.get(name)!);
    data[bit >> 3]! ^= 1 << (bit & 7);
    this.files.set(name, data);
  }

  private async write(name: string, data: Uint8Array, offset: number): Promise<void> {
    const write = { name, data, offset };
    this.underway.add(write);
    await this.faults.delay();
    this.underway.delete(write);
    this.writes++;
    const { writeFails, roomBytes } = this.faults;
    const fits = Math.min(data.length, Math.max(0, roomBytes));
    const share = Math.floor(data.length * (writeFails?.share ?? 1));
    const bytes = Math.min(fits, share);
    if (!this.isDead) this.put(name, data.subarray(0, bytes), offset);
    if (writeFails !== undefined) throw failure(writeFails.code);
    if (bytes < data.length) throw failure("ENOSPC");
  }

  private put(name: string, data: Uint8Array, offset: number): void {
    const before = this.files.get(name)!;
    const after = Buffer.alloc(Math.max(before.length, offset + data.length));
    before.copy(after);
    after.set(data, offset);
    this.files.set(name, after);
    this.faults.roomBytes -= after.length - before.length;
  }
}

function failure(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code });
}
