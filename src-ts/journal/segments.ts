/**
 * The files of a journal: the one that grows, and those that still hold something that counts. Owns
 * their names, their sizes and their end; does not know what a record says.
 */
import type { Disk, DiskFile } from "./disk.js";
import { segmentStart } from "./frames.js";
import { type Recovered, type Segment, segmentName } from "./recovery.js";

export interface SegmentsOptions {
  disk: Disk;
  random(): number;
  fsync: boolean;
  segmentBytesMax: number;
  recovered: Recovered;
}

/** Less than this is not worth a move. */
const garbageBytesMin = 32 * 2 ** 20;

interface Open {
  segment: Segment;
  file: DiskFile;
  salt: number;
}

export class Segments {
  /** From the oldest on; the last may be open. */
  private readonly all: Segment[];
  /** What of each response counts. */
  private readonly liveBytes = new Map<string, number>();
  private open: Open | undefined;
  private newest: number;
  private hasRotated = false;

  constructor(private readonly options: SegmentsOptions) {
    this.all = options.recovered.segments;
    this.newest = this.all.at(-1)?.sequence ?? 0;
    // Nobody has measured them; in equal shares they are right in sum.
    for (const { ids, bytes } of this.all) for (const id of ids) this.grow(id, bytes / ids.size);
  }

  /** Writes the frames in order. Rejects with the system's error, with nothing of them counting. */
  async append(frames: (salt: number) => Iterable<Buffer>): Promise<void> {
    const { file, segment, salt } = await this.current();
    let offset = segment.bytes;
    try {
      for (const frame of frames(salt)) {
        await file.write(frame, offset);
        offset += frame.length;
      }
      if (this.options.fsync) await file.sync();
    } catch (error) {
      await this.cutBack(file, segment.bytes);
      throw error;
    }
    segment.bytes = offset;
  }

  /** What was appended of a response counts from now on. */
  grew(id: string, bytes: number): void {
    this.open!.segment.ids.add(id);
    this.grow(id, bytes);
  }

  /** The same, and nothing that was written of it before. */
  replaced(id: string, bytes: number): void {
    this.drop(id);
    this.grew(id, bytes);
  }

  /** Nothing of this response counts any more. */
  drop(id: string): void {
    this.liveBytes.delete(id);
    for (const { ids } of this.all) ids.delete(id);
  }

  /**
   * Removes segments from the oldest on: what a younger one says of a response must not go before
   * what it is about.
   */
  async removeUnneeded(): Promise<void> {
    while (this.all[0] !== undefined && this.all[0] !== this.open?.segment) {
      if (this.all[0].ids.size > 0) return;
      const { name } = this.all.shift()!;
      // One that can't be removed now is found, and holds nothing, at the next start.
      await this.options.disk.remove(name).catch(ignore);
    }
  }

  /** Once a new segment has begun: more is wasted than it would take to write the oldest again. */
  get needsMoving(): boolean {
    if (!this.hasRotated || this.all.length < 2) return false;
    this.hasRotated = false;
    const { bytes, liveBytes } = this.size();
    return bytes - liveBytes > Math.max(garbageBytesMin, liveBytes / 2);
  }

  /** `liveBytes`: of all bytes, those that count. */
  size(): { bytes: number; liveBytes: number; segments: number } {
    let [bytes, liveBytes] = [0, 0];
    for (const segment of this.all) bytes += segment.bytes;
    for (const ofOne of this.liveBytes.values()) liveBytes += ofOne;
    return { bytes, liveBytes, segments: this.all.length };
  }

  oldestIds(): readonly string[] {
    return [...(this.all[0]?.ids ?? [])];
  }

  async close(): Promise<void> {
    const file = this.open?.file;
    this.open = undefined;
    await file?.close();
  }

  private async current(): Promise<Open> {
    if (this.open !== undefined && this.open.segment.bytes < this.options.segmentBytesMax)
      return this.open;
    await this.close();
    this.open = await this.begin();
    this.hasRotated = true;
    return this.open;
  }

  private async begin(): Promise<Open> {
    const { disk, fsync, random } = this.options;
    const sequence = ++this.newest;
    const salt = Math.floor(random() * 2 ** 32);
    const name = segmentName(sequence, salt);
    const file = await disk.create(name);
    const start = segmentStart();
    try {
      await file.write(start, 0);
      if (fsync) await disk.sync();
    } catch (error) {
      await file.close();
      await disk.remove(name).catch(ignore);
      throw error;
    }
    const segment: Segment = { name, sequence, bytes: start.length, ids: new Set() };
    this.all.push(segment);
    return { segment, file, salt };
  }

  /** A file that can't even be cut back is left as it is: the next write begins another one. */
  private async cutBack(file: DiskFile, bytes: number): Promise<void> {
    try {
      await file.truncate(bytes);
    } catch {
      await this.close().catch(ignore);
    }
  }

  private grow(id: string, bytes: number): void {
    this.liveBytes.set(id, (this.liveBytes.get(id) ?? 0) + bytes);
  }
}

function ignore(): void {}
