/**
 * What stands in a frame: one msgpack array after another, each about one response. Owns the types of
 * records and the order of their fields. The schema is versioned record by record: a type says what a
 * reader must know. Fields may be added at the end, and inside with a default; whoever doesn't know them
 * passes over them. What readers of before would misread gets a type of its own.
 */
import * as msgpack from "../encoding/msgpack.js";
import { packTokens, unpackTokens } from "../encoding/tokens.js";
import type { LogPart, StoredResponse } from "../engine/journal.js";
import { acceptance, acceptanceToDisk } from "./acceptances.js";
import { entriesOf, entryToDisk, speaksOfItems } from "./entries.js";
import { isCount, isPackedTokens } from "./values.js";

export type JournalRecord =
  /** All of a response up to here: its acceptance, or a fresh copy of it. Replaces what came before. */
  | { kind: "whole"; response: StoredResponse }
  | { kind: "part"; id: string; part: LogPart }
  | { kind: "forgotten"; id: string };

/** Of another version: whole, and not understood. */
export interface ForeignRecord {
  kind: "foreign";
  /** Of the response that it is about, if that can be told. */
  id: string | undefined;
  /** What is not understood. */
  what: string;
}

export type TakeRecord = (record: JournalRecord | ForeignRecord, from: number, to: number) => void;

/** Those with items are the same for whoever knows of items; others leave their responses alone. */
const types = { whole: 1, part: 2, forgotten: 3, wholeWithItems: 4, partWithItems: 5 } as const;

const unpacker = msgpack.unpackerOf("bigint");

export function encodeRecord(record: JournalRecord): Buffer {
  return msgpack.pack(toWire(record));
}

function toWire(record: JournalRecord): unknown[] {
  switch (record.kind) {
    case "whole": {
      const { acceptance, entries, tokens } = record.response;
      const type = entries.some(speaksOfItems) ? types.wholeWithItems : types.whole;
      const header = acceptanceToDisk(acceptance);
      const counts = countsOf(record.response);
      return [type, header, entries.map(entryToDisk), packTokens(tokens), ...counts];
    }
    case "part": {
      const { entriesFrom, entries, tokensFrom, tokens } = record.part;
      const type = entries.some(speaksOfItems) ? types.partWithItems : types.part;
      const stored = entries.map(entryToDisk);
      const counts = countsOf(record.part);
      return [type, record.id, entriesFrom, stored, tokensFrom, packTokens(tokens), ...counts];
    }
    case "forgotten":
      return [types.forgotten, record.id];
  }
}

/** Who has not reasoned says nothing of it, as versions did that knew nothing of it. */
function countsOf(log: LogPart | StoredResponse): number[] {
  const { cachedTokens, reasoningTokens, forcedTokens = 0 } = log;
  if (forcedTokens > 0) return [cachedTokens, reasoningTokens, forcedTokens];
  return reasoningTokens > 0 ? [cachedTokens, reasoningTokens] : [cachedTokens];
}

/**
 * Takes the records of a frame one after another, with where in it each stands; returns how many bytes
 * at its end are no record.
 */
export function decodeFrame(payload: Buffer, take: TakeRecord): number {
  const values: unknown[] = [];
  const ends: number[] = [];
  try {
    unpacker.unpackMultiple(payload, (value: unknown, _from = 0, to = payload.length) => {
      values.push(value);
      ends.push(to);
    });
  } catch {
    // Its checksum is right, so it was written like this: behind the last one no record can be told apart.
  }
  let from = 0;
  values.forEach((value, index) => {
    const to = ends[index]!;
    take(decode(value), from, to);
    from = to;
  });
  return payload.length - from;
}

function decode(value: unknown): JournalRecord | ForeignRecord {
  if (!Array.isArray(value)) return { kind: "foreign", id: undefined, what: "a record of no type" };
  const [type] = value;
  if (!isKnownType(type))
    return { kind: "foreign", id: idIn(value), what: `a record of type ${shownType(type)}` };
  const record = readers[type](value);
  if (typeof record !== "string") return record;
  return { kind: "foreign", id: idIn(value), what: `a record of type ${type}: ${record}` };
}

/** By type; the result is the record, or what of it is not understood. */
const readers = {
  [types.whole]: readWhole,
  [types.part]: readPart,
  [types.forgotten]: readForgotten,
  [types.wholeWithItems]: readWhole,
  [types.partWithItems]: readPart,
};

interface Counts {
  cachedTokens: number;
  reasoningTokens: number;
  forcedTokens?: number;
}

/** Those that are zero at the end are left out. */
function readCounts(values: readonly unknown[]): Counts | undefined {
  const [cachedTokens = 0, reasoningTokens = 0, forcedTokens = 0] = values;
  if (!isCount(cachedTokens) || !isCount(reasoningTokens) || !isCount(forcedTokens))
    return undefined;
  return { cachedTokens, reasoningTokens, ...(forcedTokens > 0 && { forcedTokens }) };
}

function readWhole([, accepted, stored, packed, ...numbers]: readonly unknown[]) {
  const parsed = acceptance.safeParse(accepted);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return `${issue?.path.join(".")}: ${issue?.message}`;
  }
  const entries = entriesOf(stored);
  if (typeof entries === "string") return entries;
  const counts = readCounts(numbers);
  if (!isPackedTokens(packed) || counts === undefined) return wrongFields;
  const tokens = Array.from(unpackTokens(packed));
  const response = { acceptance: parsed.data, entries, tokens, ...counts };
  return { kind: "whole", response } as const;
}

/** By hand: there is one for every write, and a start reads them all. */
function readPart(fields: readonly unknown[]) {
  const [, id, entriesFrom, stored, tokensFrom, packed, ...numbers] = fields;
  if (!isId(id) || !isCount(entriesFrom) || !isCount(tokensFrom)) return wrongFields;
  const entries = entriesOf(stored);
  if (typeof entries === "string") return entries;
  const counts = readCounts(numbers);
  if (!isPackedTokens(packed) || counts === undefined) return wrongFields;
  const tokens = Array.from(unpackTokens(packed));
  const part = { entriesFrom, entries, tokensFrom, tokens, ...counts };
  return { kind: "part", id, part } as const;
}

function readForgotten([, id]: readonly unknown[]) {
  return isId(id) ? ({ kind: "forgotten", id } as const) : wrongFields;
}

const wrongFields = "fields that this version doesn't know";

function isId(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function isKnownType(type: unknown): type is keyof typeof readers {
  return typeof type === "number" && type in readers;
}

function shownType(type: unknown): string {
  return typeof type === "number" ? String(type) : typeof type;
}

/** Behind its type every record names its response: by its id, or in what begins with it. */
function idIn([, about]: readonly unknown[]): string | undefined {
  const named = typeof about === "object" && about !== null && "id" in about ? about.id : about;
  return isId(named) ? named : undefined;
}
