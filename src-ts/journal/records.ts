/** What stands in a frame: one msgpack array after another, each about one response. */
import { z } from "zod";
import * as msgpack from "../encoding/msgpack.js";
import { areTokens, packTokens, unpackTokens } from "../encoding/tokens.js";
import type { LogEntry } from "../engine/api.js";
import type { Acceptance, LogPart, StoredResponse } from "../engine/journal.js";
import { Sampling } from "../worker/messages.js";

export type JournalRecord =
  /** All of a response up to here: its acceptance, or a fresh copy of it. Replaces what came before. */
  | { kind: "whole"; response: StoredResponse }
  | { kind: "part"; id: string; part: LogPart }
  | { kind: "forgotten"; id: string };

const types = { whole: 1, part: 2, forgotten: 3 } as const;

const unpacker = msgpack.unpackerOf("bigint");

/** A frame whose checksum is right and that this version does not understand. */
export class UnknownRecord extends Error {
  override readonly name = "UnknownRecord";
}

export function encodeRecord(record: JournalRecord): Buffer {
  return msgpack.pack(toWire(record));
}

function toWire(record: JournalRecord): unknown[] {
  switch (record.kind) {
    case "whole": {
      const { acceptance, entries, tokens, cachedTokens } = record.response;
      const promptTokens = packTokens(acceptance.promptTokens);
      const header = { ...acceptance, promptTokens };
      return [types.whole, header, entries, packTokens(tokens), cachedTokens];
    }
    case "part": {
      const { entriesFrom, entries, tokensFrom, tokens, cachedTokens } = record.part;
      const packed = packTokens(tokens);
      return [types.part, record.id, entriesFrom, entries, tokensFrom, packed, cachedTokens];
    }
    case "forgotten":
      return [types.forgotten, record.id];
  }
}

const count = z.int().min(0);
const packed = z.instanceof(Uint8Array).refine(areTokens);
const tokens = packed.transform(unpackTokens);
const tokenList = packed.transform((bytes) => Array.from(unpackTokens(bytes)));

const topLogprob = z.object({ token: z.string(), bytes: z.array(count), logprob: z.number() });
const logprobs = z.array(topLogprob.extend({ top: z.array(topLogprob) }));
const ending = z.union([
  z.object({ kind: z.enum(["stop", "length", "toolCalls", "cancelled", "expired"]) }),
  z.object({ kind: z.literal("failed"), code: z.string(), message: z.string() }),
]);
const usage = z.object({ promptTokens: count, cachedTokens: count, completionTokens: count });
const ended = z.object({ kind: z.literal("ended"), ending, usage, endedAt: z.number() });
const bareKinds: ReadonlySet<unknown> = new Set([
  "created",
  "queued",
  "inProgress",
  "itemAdded",
  "partAdded",
  "textDone",
  "partDone",
  "itemDone",
]);

/** By hand: there is one for every token of every response, and a start reads them all. */
function isEntry(value: unknown): value is LogEntry {
  if (typeof value !== "object" || value === null) return false;
  const entry = value as Record<string, unknown>;
  if (entry.kind === "textDelta") return isDelta(entry);
  return bareKinds.has(entry.kind) || ended.safeParse(entry).success;
}

function isDelta(entry: Record<string, unknown>): boolean {
  if (typeof entry.text !== "string") return false;
  if (!Number.isSafeInteger(entry.tokens) || (entry.tokens as number) < 0) return false;
  return entry.logprobs === undefined || logprobs.safeParse(entry.logprobs).success;
}

const entries = z.custom<LogEntry[]>((value) => Array.isArray(value) && value.every(isEntry));

const acceptance = z.object({
  id: z.string().min(1),
  model: z.string(),
  owner: z.string(),
  createdAt: z.number(),
  echo: z.unknown().optional(),
  maxTokens: count,
  sampling: Sampling,
  promptTokens: tokens,
  chat: z.boolean().optional(),
  clientId: z.string(),
  priority: z.enum(["interactive", "normal", "batch"]),
  deadlineAt: z.number().optional(),
  idempotency: z.object({ key: z.string(), fingerprint: z.string() }).optional(),
  cost: z.object({ promptTokens: count, newTokens: count, kvBytes: z.number() }),
});

const wire = {
  [types.whole]: z.tuple([z.literal(types.whole), acceptance, entries, tokenList, count]),
  [types.part]: z.tuple([
    z.literal(types.part),
    z.string(),
    count,
    entries,
    count,
    tokenList,
    count,
  ]),
  [types.forgotten]: z.tuple([z.literal(types.forgotten), z.string()]),
};
type Wire = z.output<(typeof wire)[keyof typeof wire]>;

/** Throws UnknownRecord. */
export function decodeRecords(payload: Buffer): JournalRecord[] {
  return unpackAll(payload).map((value) => {
    const type = Array.isArray(value) ? value[0] : undefined;
    if (!isKnownType(type)) throw new UnknownRecord(`a record of type ${String(type)}`);
    const parsed = wire[type].safeParse(value);
    if (!parsed.success) throw new UnknownRecord(parsed.error.issues[0]?.message);
    return fromWire(parsed.data);
  });
}

function isKnownType(type: unknown): type is keyof typeof wire {
  return typeof type === "number" && type in wire;
}

function unpackAll(payload: Buffer): unknown[] {
  try {
    return unpacker.unpackMultiple(payload) ?? [];
  } catch (error) {
    throw new UnknownRecord((error as Error).message);
  }
}

function fromWire(value: Wire): JournalRecord {
  switch (value[0]) {
    case types.whole: {
      const [, header, entries, tokens, cachedTokens] = value;
      const response = { acceptance: header as Acceptance, entries, tokens, cachedTokens };
      return { kind: "whole", response };
    }
    case types.part: {
      const [, id, entriesFrom, entries, tokensFrom, tokens, cachedTokens] = value;
      const part = { entriesFrom, entries, tokensFrom, tokens, cachedTokens };
      return { kind: "part", id, part };
    }
    case types.forgotten:
      return { kind: "forgotten", id: value[1] };
  }
}
