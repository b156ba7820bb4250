/** What stands in a frame: one msgpack array after another, each about one response. */
import { Packr, Unpackr } from "msgpackr";
import { z } from "zod";
import type { LogEntry } from "../engine/api.js";
import type { Acceptance, LogPart, StoredResponse } from "../engine/journal.js";
import { packTokens, unpackTokens } from "../worker/link.js";
import { Sampling } from "../worker/messages.js";

export type JournalRecord =
  /** All of a response up to here: its acceptance, or a fresh copy of it. Replaces what came before. */
  | { kind: "whole"; response: StoredResponse }
  | { kind: "part"; id: string; part: LogPart }
  | { kind: "forgotten"; id: string };

const types = { whole: 1, part: 2, forgotten: 3 } as const;

// `skipValues` is documented but not typed: an undefined field is a field that isn't there.
const packOptions = { useRecords: false, variableMapSize: true, skipValues: [undefined] };
const packer = new Packr(packOptions);
const unpacker = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });

/** A frame whose checksum is right and that this version does not understand. */
export class UnknownRecord extends Error {
  override readonly name = "UnknownRecord";
}

export function encodeRecord(record: JournalRecord): Buffer {
  return packer.pack(toWire(record));
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
const tokens = z
  .instanceof(Uint8Array)
  .refine((bytes) => bytes.length % 4 === 0)
  .transform(unpackTokens);
const tokenList = tokens.transform((list) => [...list]);

const topLogprob = z.object({ token: z.string(), bytes: z.array(count), logprob: z.number() });
const ending = z.union([
  z.object({ kind: z.enum(["stop", "length", "toolCalls", "cancelled", "expired"]) }),
  z.object({ kind: z.literal("failed"), code: z.string(), message: z.string() }),
]);
const usage = z.object({ promptTokens: count, cachedTokens: count, completionTokens: count });
const bare = ["created", "queued", "inProgress", "itemAdded", "partAdded"] as const;
const entry = z.discriminatedUnion("kind", [
  z.object({ kind: z.enum([...bare, "textDone", "partDone", "itemDone"]) }),
  z.object({
    kind: z.literal("textDelta"),
    text: z.string(),
    tokens: count,
    logprobs: z.array(topLogprob.extend({ top: z.array(topLogprob) })).optional(),
  }),
  z.object({ kind: z.literal("ended"), ending, usage, endedAt: z.number() }),
]);

const acceptance = z.object({
  id: z.string().min(1),
  model: z.string(),
  owner: z.string(),
  createdAt: z.number(),
  echo: z.unknown().optional(),
  maxTokens: count,
  sampling: Sampling,
  promptTokens: tokens,
  clientId: z.string(),
  priority: z.enum(["interactive", "normal", "batch"]),
  deadlineAt: z.number().optional(),
  idempotency: z.object({ key: z.string(), fingerprint: z.string() }).optional(),
  cost: z.object({ promptTokens: count, newTokens: count, kvBytes: z.number() }),
});

const wire = z.union([
  z.tuple([z.literal(types.whole), acceptance, z.array(entry), tokenList, count]),
  z.tuple([z.literal(types.part), z.string(), count, z.array(entry), count, tokenList, count]),
  z.tuple([z.literal(types.forgotten), z.string()]),
]);

/** Throws UnknownRecord. */
export function decodeRecords(payload: Buffer): JournalRecord[] {
  return unpackAll(payload).map((value) => {
    const parsed = wire.safeParse(value);
    if (!parsed.success) throw new UnknownRecord(parsed.error.issues[0]?.message);
    return fromWire(parsed.data);
  });
}

function unpackAll(payload: Buffer): unknown[] {
  try {
    return unpacker.unpackMultiple(payload) ?? [];
  } catch (error) {
    throw new UnknownRecord((error as Error).message);
  }
}

function fromWire(value: z.output<typeof wire>): JournalRecord {
  switch (value[0]) {
    case types.whole: {
      const [, header, entries, list, cachedTokens] = value;
      const response = {
        acceptance: header as Acceptance,
        entries: entries as LogEntry[],
        tokens: list,
        cachedTokens,
      };
      return { kind: "whole", response };
    }
    case types.part: {
      const [, id, entriesFrom, entries, tokensFrom, list, cachedTokens] = value;
      const found = entries as LogEntry[];
      return {
        kind: "part",
        id,
        part: { entriesFrom, entries: found, tokensFrom, tokens: list, cachedTokens },
      };
    }
    case types.forgotten:
      return { kind: "forgotten", id: value[1] };
  }
}
