/**
 * From the segments that earlier processes left to the responses they hold. What is damaged is left
 * out: a response is cut back to the last part that follows without a gap. Changes nothing on disk but
 * a torn end, which is cut off.
 */
import type { LogPart, StoredResponse } from "../engine/journal.js";
import type { Disk } from "./disk.js";
import { type Damage, formatVersion, scan, versionOf } from "./frames.js";
import { decodeRecords, type JournalRecord } from "./records.js";

export interface SegmentName {
  name: string;
  sequence: number;
  /** Where its checksums begin. */
  salt: number;
}

/** A segment of which something may still be needed. */
export interface Segment {
  name: string;
  sequence: number;
  bytes: number;
  /** Responses of which it holds something that counts. */
  ids: Set<string>;
}

/** What could not be read. */
export interface Loss {
  segment: string;
  damages: readonly Damage[];
}

export interface Recovered {
  /** In the order in which they were accepted. */
  responses: StoredResponse[];
  /** From the oldest on. */
  segments: Segment[];
  losses: Loss[];
  /** Ids of responses that lost their end to a damage. */
  cutBack: Set<string>;
}

/** The folder was written by a version that does it differently. */
export class UnknownVersion extends Error {
  override readonly name = "UnknownVersion";
}

const namePattern = /^(\d{8})-([0-9a-f]{8})\.log$/;

export function segmentName(sequence: number, salt: number): string {
  return `${String(sequence).padStart(8, "0")}-${salt.toString(16).padStart(8, "0")}.log`;
}

export function parseSegmentName(name: string): SegmentName | undefined {
  const [, sequence, salt] = namePattern.exec(name) ?? [];
  if (sequence === undefined || salt === undefined) return undefined;
  return { name, sequence: Number(sequence), salt: Number.parseInt(salt, 16) };
}

/**
 * Throws UnknownVersion or UnknownRecord rather than lose what another version has written, and the
 * system's error when something can't be read at all.
 */
export async function recover(disk: Disk): Promise<Recovered> {
  const names = (await disk.list())
    .flatMap((name) => parseSegmentName(name) ?? [])
    .toSorted((a, b) => a.sequence - b.sequence);
  const state = new Recovery();
  for (const name of names) state.add(name, await readSegment(disk, name));
  // Nothing is ever written behind it: where it can't be cut off, it is found torn the next time too.
  for (const { segment, goodBytes } of state.torn)
    await disk.truncate(segment, goodBytes).catch(() => {});
  return state.result();
}

async function readSegment(disk: Disk, { name }: SegmentName): Promise<Buffer> {
  const data = await disk.read(name);
  const version = versionOf(data);
  if (version === undefined || version === formatVersion) return data;
  throw new UnknownVersion(`${name} has format ${version}; this version reads ${formatVersion}`);
}

/** A response that is put together from its records. */
interface Growing {
  response: StoredResponse & { entries: StoredResponse["entries"][number][]; tokens: number[] };
  /** Something between its parts is missing: what comes after it is of no use. */
  hasGap: boolean;
}

class Recovery {
  readonly torn: { segment: string; goodBytes: number }[] = [];
  private readonly growing = new Map<string, Growing>();
  private readonly segments: Segment[] = [];
  private readonly losses: Loss[] = [];

  add({ name, sequence, salt }: SegmentName, data: Buffer): void {
    const { payloads, damages, goodBytes } = scan(data, salt);
    const segment: Segment = { name, sequence, bytes: data.length, ids: new Set() };
    this.segments.push(segment);
    for (const payload of payloads)
      for (const record of decodeRecords(payload)) this.take(record, segment);
    if (damages.length > 0) this.losses.push({ segment: name, damages });
    if (damages.at(-1)?.offset === goodBytes && goodBytes > 0) {
      this.torn.push({ segment: name, goodBytes });
      segment.bytes = goodBytes;
    }
  }

  result(): Recovered {
    const all = [...this.growing.values()];
    const responses = all
      .map(({ response }) => response)
      .toSorted((a, b) => a.acceptance.createdAt - b.acceptance.createdAt);
    const damaged = all.filter(({ hasGap }) => hasGap);
    const cutBack = new Set(damaged.map(({ response }) => response.acceptance.id));
    return { responses, segments: this.segments, losses: this.losses, cutBack };
  }

  private take(record: JournalRecord, segment: Segment): void {
    switch (record.kind) {
      case "whole":
        return this.begin(record.response, segment);
      case "part":
        return this.extend(record.id, record.part, segment);
      case "forgotten":
        return this.drop(record.id);
    }
  }

  private begin(response: StoredResponse, segment: Segment): void {
    const { id } = response.acceptance;
    this.drop(id);
    const { entries, tokens } = response;
    const growing = { ...response, entries: [...entries], tokens: [...tokens] };
    this.growing.set(id, { response: growing, hasGap: false });
    segment.ids.add(id);
  }

  private extend(id: string, part: LogPart, segment: Segment): void {
    const growing = this.growing.get(id);
    // Its beginning was damaged: nobody can go on with it.
    if (growing === undefined || growing.hasGap) return;
    const { response } = growing;
    const { entries, tokens } = response;
    if (part.entriesFrom > entries.length || part.tokensFrom > tokens.length) {
      growing.hasGap = true;
      return;
    }
    // What a failed write had left is written again: only what is new counts.
    entries.push(...part.entries.slice(entries.length - part.entriesFrom));
    for (const token of part.tokens.slice(tokens.length - part.tokensFrom)) tokens.push(token);
    response.cachedTokens = part.cachedTokens;
    segment.ids.add(id);
  }

  private drop(id: string): void {
    this.growing.delete(id);
    for (const { ids } of this.segments) ids.delete(id);
  }
}
