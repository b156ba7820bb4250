/**
 * From the segments that earlier processes left to the responses they hold. What is damaged is left
 * out: a response is cut back to the last part that follows without a gap. One of which a record is not
 * understood is set aside. Changes nothing on disk but a torn end, which is cut off.
 */
import type { LogPart, StoredResponse } from "../engine/journal.js";
import type { Disk } from "./disk.js";
import { addUp } from "./entries.js";
import { formatVersion, scan, versionOf } from "./frames.js";
import { decodeFrame, type ForeignRecord, type JournalRecord } from "./records.js";

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
  bytes: number;
}

/** A response that another version has written, or went on with, in a way that this one doesn't know. */
export interface Foreign {
  /** All of its records, as they were written. */
  records: Uint8Array[];
  /** The first thing that is not understood. */
  what: string;
}

export interface Recovered {
  /** In the order in which they were accepted. */
  responses: StoredResponse[];
  /** From the oldest on. */
  segments: Segment[];
  losses: Loss[];
  /** Ids of responses that lost their end to a damage. */
  cutBack: Set<string>;
  /** By id. They are nobody's, and stay on disk for the version that knows them. */
  foreign: Map<string, Foreign>;
}

/** The folder was written by a version that does it differently. */
export class UnknownVersion extends Error {
  override readonly name = "UnknownVersion";

  constructor(segment: string, version: number) {
    super(
      version > formatVersion
        ? `${segment} was written by a newer version (format ${version}; this one reads ${formatVersion})`
        : `${segment} has format ${version}, which this version doesn't read`,
    );
  }
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

/** Throws UnknownVersion, with the folder as it was, and the system's error when something can't be read at all. */
export async function recover(disk: Disk): Promise<Recovered> {
  const names = (await disk.list())
    .flatMap((name) => parseSegmentName(name) ?? [])
    .toSorted((a, b) => a.sequence - b.sequence);
  const state = new Recovery();
  for (const name of names) state.add(name, await readSegment(disk, name));
  // Nothing is ever written behind it: where it can't be cut off, it is found torn the next time too.
  for (const { segment, goodBytes } of state.torn)
    await disk.truncate(segment, goodBytes).catch(() => {});
  state.review();
  const { setAside } = state;
  if (setAside.size > 0) await collect(disk, names, setAside);
  return state.result();
}

async function readSegment(disk: Disk, { name }: SegmentName): Promise<Buffer> {
  const data = await disk.read(name);
  const version = versionOf(data);
  if (version === undefined || version === formatVersion) return data;
  throw new UnknownVersion(name, version);
}

/** Reads all again, for the few that are to be kept as they are: what is understood isn't kept as bytes. */
async function collect(
  disk: Disk,
  names: readonly SegmentName[],
  setAside: ReadonlyMap<string, Foreign>,
): Promise<void> {
  for (const name of names)
    readRecords(name, await readSegment(disk, name), (id, record, bytes) => {
      const foreign = setAside.get(id);
      if (foreign === undefined) return;
      if (record.kind === "whole" || record.kind === "forgotten") foreign.records = [];
      foreign.records.push(Uint8Array.from(bytes()));
    });
}

/** With the response that it is about, and as it was written. */
type TakeAttributed = (
  id: string,
  record: JournalRecord | ForeignRecord,
  bytes: () => Uint8Array,
) => void;

/** What a segment holds beside its records. */
interface Rest {
  unreadableBytes: number;
  /** Where its torn end begins, if it has one behind something good. */
  tornFrom: number | undefined;
}

function readRecords({ name, salt }: SegmentName, data: Buffer, take: TakeAttributed): Rest {
  const { payloads, damages, goodBytes } = scan(data, salt);
  let unreadable = damages.reduce((sum, { bytes }) => sum + bytes, 0);
  let nameless = 0;
  for (const payload of payloads)
    unreadable += decodeFrame(payload, (record, from, to) => {
      // One that names no response is kept like one: under a name of its own.
      const id = idOf(record) ?? `${name}#${nameless++}`;
      take(id, record, () => payload.subarray(from, to));
    });
  const isTorn = goodBytes > 0 && damages.at(-1)?.offset === goodBytes;
  return { unreadableBytes: unreadable, tornFrom: isTorn ? goodBytes : undefined };
}

function idOf(record: JournalRecord | ForeignRecord): string | undefined {
  return record.kind === "whole" ? record.response.acceptance.id : record.id;
}

/** A response that is put together from its records. */
interface Growing {
  response: StoredResponse & { entries: StoredResponse["entries"][number][]; tokens: number[] };
  /** Something between its parts is missing: what comes after it is of no use. */
  hasGap: boolean;
}

class Recovery {
  readonly torn: { segment: string; goodBytes: number }[] = [];
  readonly setAside = new Map<string, Foreign>();
  private readonly growing = new Map<string, Growing>();
  private readonly segments: Segment[] = [];
  private readonly losses: Loss[] = [];

  add(segmentName: SegmentName, data: Buffer): void {
    const { name, sequence } = segmentName;
    const segment: Segment = { name, sequence, bytes: data.length, ids: new Set() };
    this.segments.push(segment);
    const rest = readRecords(segmentName, data, (id, record) => this.take(id, record, segment));
    const { unreadableBytes, tornFrom } = rest;
    if (unreadableBytes > 0) this.losses.push({ segment: name, bytes: unreadableBytes });
    if (tornFrom === undefined) return;
    this.torn.push({ segment: name, goodBytes: tornFrom });
    segment.bytes = tornFrom;
  }

  /** What doesn't add up to a log is no better understood than an unknown record. */
  review(): void {
    for (const [id, { response }] of this.growing) {
      if (addUp(response.entries)) continue;
      this.growing.delete(id);
      this.setAside.set(id, { records: [], what: "entries that don't follow one another" });
    }
  }

  result(): Recovered {
    const all = [...this.growing.values()];
    const responses = all
      .map(({ response }) => response)
      .toSorted((a, b) => a.acceptance.createdAt - b.acceptance.createdAt);
    const damaged = all.filter(({ hasGap }) => hasGap);
    const cutBack = new Set(damaged.map(({ response }) => response.acceptance.id));
    const { segments, losses, setAside: foreign } = this;
    return { responses, segments, losses, cutBack, foreign };
  }

  private take(id: string, record: JournalRecord | ForeignRecord, segment: Segment): void {
    if (this.setAside.has(id)) segment.ids.add(id);
    switch (record.kind) {
      case "whole":
        return this.begin(record.response, segment);
      case "part":
        return this.extend(id, record.part, segment);
      case "forgotten":
        return this.drop(id);
      case "foreign":
        return this.putAside(id, record.what, segment);
    }
  }

  /** It can't be shown and can't go on: what is not understood may have changed it. */
  private putAside(id: string, what: string, segment: Segment): void {
    this.growing.delete(id);
    segment.ids.add(id);
    if (!this.setAside.has(id)) this.setAside.set(id, { records: [], what });
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
    response.reasoningTokens = part.reasoningTokens;
    if (part.forcedTokens !== undefined) response.forcedTokens = part.forcedTokens;
    segment.ids.add(id);
  }

  private drop(id: string): void {
    this.growing.delete(id);
    this.setAside.delete(id);
    for (const { ids } of this.segments) ids.delete(id);
  }
}
