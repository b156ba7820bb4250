/** Entries on disk: those of before there were items, those of now, and those of nobody. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Unpackr } from "msgpackr";
import { describe, expect, it } from "vitest";
import type { LogEntry } from "../../../src-ts/engine/api.js";
import { addUp, entriesOf, entryToDisk } from "../../../src-ts/journal/entries.js";
import { scan } from "../../../src-ts/journal/frames.js";
import { decodeFrame, encodeRecord } from "../../../src-ts/journal/records.js";
import { parseSegmentName } from "../../../src-ts/journal/recovery.js";
import { acceptanceOf, begun, decoded, delta, ended } from "./support.js";

const kept = join(import.meta.dirname, "../../fixtures/data-folders/format-1");

const text = (index: number, part: number, value: string): LogEntry => ({
  kind: "delta",
  index,
  part,
  text: value,
  tokens: 1,
});
const call = { kind: "functionCall", callId: "call_1", name: "look" } as const;
const custom = { kind: "customToolCall", callId: "call_2", name: "run" } as const;

/** Reasoning, a message with two parts, two calls. */
const many: LogEntry[] = [
  { kind: "created" },
  { kind: "inProgress" },
  { kind: "itemAdded", index: 0, item: { kind: "reasoning" } },
  { kind: "partAdded", index: 0, part: 0 },
  text(0, 0, "Hm."),
  { kind: "textDone", index: 0, part: 0 },
  { kind: "partDone", index: 0, part: 0 },
  { kind: "itemDone", index: 0 },
  { kind: "itemAdded", index: 1, item: { kind: "message" } },
  { kind: "partAdded", index: 1, part: 0 },
  text(1, 0, "One "),
  { kind: "textDone", index: 1, part: 0 },
  { kind: "partDone", index: 1, part: 0 },
  { kind: "partAdded", index: 1, part: 1 },
  {
    ...text(1, 1, "two."),
    logprobs: [{ token: "two.", bytes: [1], logprob: -1, top: [] }],
  } as LogEntry,
  { kind: "textDone", index: 1, part: 1 },
  { kind: "partDone", index: 1, part: 1 },
  { kind: "itemDone", index: 1 },
  { kind: "itemAdded", index: 2, item: call },
  text(2, 0, "{}"),
  { kind: "textDone", index: 2, part: 0 },
  { kind: "itemDone", index: 2, incomplete: true },
  { kind: "itemAdded", index: 3, item: custom },
  text(3, 0, "ls"),
  { kind: "textDone", index: 3, part: 0 },
  { kind: "itemDone", index: 3 },
  ended,
];

const wholeOf = (entries: readonly LogEntry[]) =>
  encodeRecord({
    kind: "whole",
    response: {
      acceptance: acceptanceOf("a"),
      entries,
      tokens: [1],
      cachedTokens: 0,
      reasoningTokens: 0,
    },
  });
const partOf = (entries: readonly LogEntry[]) =>
  encodeRecord({
    kind: "part",
    id: "a",
    part: {
      entriesFrom: 0,
      entries,
      tokensFrom: 0,
      tokens: [1],
      cachedTokens: 0,
      reasoningTokens: 0,
    },
  });
const unpacker = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "bigint" });
const unpack = (record: Buffer) => unpacker.unpack(record);
const typeOf = (record: Buffer): number => unpack(record)[0];

describe("what was written before there were items", () => {
  const segments = readdirSync(kept).flatMap((name) => parseSegmentName(name) ?? []);

  it("is read as one message with one part, and written again as it was", () => {
    let deltas = 0;
    for (const { name, salt } of segments)
      for (const payload of scan(readFileSync(join(kept, name)), salt).payloads)
        decodeFrame(payload, (record, from, to) => {
          if (record.kind === "foreign") throw new Error(record.what);
          const [before, after] = [payload.subarray(from, to), encodeRecord(record)];
          // Fields of an acceptance may stand in another order.
          if (record.kind === "whole") expect(unpack(after)).toEqual(unpack(before));
          else expect(after.equals(before)).toBe(true);
          const entries = record.kind === "whole" ? record.response.entries : [];
          for (const entry of record.kind === "part" ? record.part.entries : entries) {
            if (entry.kind === "delta") deltas++;
            if ("index" in entry) expect(entry).toMatchObject({ index: 0 });
            if ("part" in entry) expect(entry).toMatchObject({ part: 0 });
            if ("item" in entry) expect(entry.item).toEqual({ kind: "message" });
          }
        });
    expect(segments).toHaveLength(2);
    expect(deltas).toBeGreaterThan(100);
  });
});

describe("tokens of reasoning", () => {
  const usage = { ...(ended as Extract<LogEntry, { kind: "ended" }>).usage, reasoningTokens: 1 };
  const entries = [...many.slice(0, -1), { ...ended, usage } as LogEntry];

  it("are counted in the records of a log and in its end, and are no field where there are none", () => {
    const part = { entriesFrom: 0, entries, tokensFrom: 0, tokens: [1], cachedTokens: 0 };
    const some = encodeRecord({ kind: "part", id: "a", part: { ...part, reasoningTokens: 1 } });
    expect(decoded(some)).toMatchObject([{ part: { entries, reasoningTokens: 1 } }]);
    const acceptance = acceptanceOf("a");
    const response = { acceptance, entries, tokens: [1], cachedTokens: 0, reasoningTokens: 1 };
    const whole = encodeRecord({ kind: "whole", response });
    expect(decoded(whole)).toMatchObject([{ response: { reasoningTokens: 1 } }]);
    expect([unpack(some).length, unpack(whole).length]).toEqual([8, 6]);
    expect([unpack(partOf(many)).length, unpack(wholeOf(many)).length]).toEqual([7, 5]);
    expect(JSON.stringify(unpack(partOf(many)))).not.toContain('reasoning":');
  });
});

describe("a log of several items", () => {
  it("comes back as it was", () => {
    const records = [...decoded(wholeOf(many)), ...decoded(partOf(many))];
    expect(records).toMatchObject([{ response: { entries: many } }, { part: { entries: many } }]);
    expect(addUp(many)).toBe(true);
  });

  it("is of a type of its own where an earlier version would misread it, entry by entry", () => {
    const only = many.filter((entry) => {
      const types = [typeOf(wholeOf([entry])), typeOf(partOf([entry]))];
      expect(["1,2", "4,5"]).toContain(types.join());
      return types[0] === 4;
    });
    const first = ["created", "inProgress", "ended"];
    const plain = many.filter((entry) => !only.includes(entry));
    expect(plain.map(({ kind }) => kind)).toEqual([
      ...first.slice(0, 2),
      "partAdded",
      "delta",
      "textDone",
      "partDone",
      "itemDone",
      "ended",
    ]);
    expect(typeOf(wholeOf([...begun, delta("a")]))).toBe(1);
  });

  it("can be cut anywhere", () => {
    for (let length = 0; length <= many.length; length++)
      expect(addUp(many.slice(0, length))).toBe(true);
  });
});

describe("no entry of this version", () => {
  it.each([
    ["another kind", { kind: "imageDelta" }],
    ["no kind", { text: "a" }],
    ["no map", "created"],
    ["null", null],
    ["a negative index", { kind: "itemDone", index: -1 }],
    ["half an index", { kind: "itemDone", index: 0.5 }],
    ["a part that is text", { kind: "textDone", part: "0" }],
    ["an item of another kind", { kind: "itemAdded", index: 1, item: { kind: "image" } }],
    ["a call without a name", { kind: "itemAdded", item: { kind: "functionCall", callId: "c" } }],
    ["a call without an id", { kind: "itemAdded", item: { kind: "customToolCall", name: "n" } }],
    ["a delta without its text", { kind: "textDelta", tokens: 1 }],
    ["a delta of a fraction of a token", { kind: "textDelta", text: "a", tokens: 0.5 }],
    ["log probabilities that are none", { kind: "textDelta", text: "a", tokens: 1, logprobs: [1] }],
    ["an end of another kind", { ...ended, ending: { kind: "bored" } }],
    ["a failure without a code", { ...ended, ending: { kind: "failed", message: "m" } }],
    ["an end without usage", { kind: "ended", ending: { kind: "stop" }, endedAt: 1 }],
  ])("%s", (_, stored) => {
    expect(entriesOf([{ kind: "created" }, stored])).toMatch(/^an entry that this version /);
  });

  it("fields that only later versions know are passed over", () => {
    const later = many.map((entry) => ({ ...(entryToDisk(entry) as object), later: [1] }));
    expect(entriesOf(JSON.parse(JSON.stringify(later)))).toEqual(many);
  });
});

describe("what does not add up", () => {
  const [added, partAdded] = begun as [LogEntry, LogEntry];
  it.each<[string, LogEntry[]]>([
    ["text of no item", [text(0, 0, "a")]],
    ["text of no part", [added, text(0, 0, "a")]],
    ["text of a later part", [added, partAdded, text(0, 1, "a")]],
    ["a part that leaves one out", [added, { kind: "partAdded", index: 0, part: 1 }]],
    ["a part that is added twice", [added, partAdded, partAdded]],
    ["an item that leaves one out", [added, { kind: "itemAdded", index: 2, item: call }]],
    ["an item that is added twice", [added, partAdded, added]],
    ["an end of another item", [added, partAdded, { kind: "itemDone", index: 1 }]],
    [
      "text of an item before",
      [added, partAdded, { kind: "itemAdded", index: 1, item: call }, text(0, 0, "a")],
    ],
    ["a second part of a call", [{ kind: "itemAdded", index: 0, item: call }, text(0, 1, "a")]],
  ])("%s", (_, entries) => {
    expect(addUp(entries)).toBe(false);
  });
});
