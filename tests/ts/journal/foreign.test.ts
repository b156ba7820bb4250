/** Records of other versions: what is not understood costs the response it is about, and nothing else. */
import { pack } from "msgpackr";
import { describe, expect, it } from "vitest";
import { entryToDisk } from "../../../src-ts/journal/entries.js";
import { encodeFrame, segmentStart } from "../../../src-ts/journal/frames.js";
import { encodeRecord } from "../../../src-ts/journal/records.js";
import { recover } from "../../../src-ts/journal/recovery.js";
import { MemoryDisk } from "../../support/memory-disk.js";
import { settle } from "../engine/sim.js";
import { acceptanceOf, begun, contents, delta, ended, open, TestLog } from "./support.js";

const none = new Uint8Array();

/** A response as it was accepted, with this text. */
function whole(id: string, text: string): Buffer {
  const entries = [{ kind: "created" } as const, ...begun, delta(text)];
  const response = {
    acceptance: acceptanceOf(id),
    entries,
    tokens: [1],
    cachedTokens: 0,
    reasoningTokens: 0,
  };
  return encodeRecord({ kind: "whole", response });
}

/** One segment, each record in a frame of its own. */
function folder(...records: Uint8Array[]): MemoryDisk {
  const disk = new MemoryDisk();
  const frames = records.map((record) => encodeFrame(record, 0));
  disk.files.set("00000001-00000000.log", Buffer.concat([segmentStart(), ...frames]));
  return disk;
}

const acceptedLater = {
  ...acceptanceOf("b"),
  promptTokens: none,
  sampling: { temperature: "hot" },
};

describe.each([
  ["of an unknown type, with an id", pack([99, "b", { some: "thing" }]), "a record of type 99"],
  ["of an unknown type, with a map", pack([99, { id: "b", more: 1 }]), "a record of type 99"],
  ["of a type that is no number", pack(["whole", "b"]), "a record of type string"],
  [
    "with an unknown kind of entry",
    pack([2, "b", 4, [{ kind: "imageDelta" }], 1, none, 0]),
    "type 2: an entry that this version doesn't know: imageDelta",
  ],
  [
    "with an unknown kind of item",
    pack([2, "b", 4, [{ kind: "itemAdded", index: 1, item: { kind: "image" } }], 1, none, 0]),
    "an entry that this version doesn't know: itemAdded of kind image",
  ],
  [
    "with a delta without its text",
    pack([2, "b", 4, [{ kind: "textDelta", tokens: 1 }], 1, none, 0]),
    "type 2",
  ],
  [
    "with less than no token",
    pack([2, "b", 4, [{ kind: "textDelta", text: "a", tokens: -1 }], 1, none, 0]),
    "type 2",
  ],
  [
    "with a log probability that is none",
    pack([2, "b", 4, [{ ...delta("a"), logprobs: [{ token: "a" }] }], 1, none, 0]),
    "type 2",
  ],
  [
    "with an end without its reason",
    pack([2, "b", 4, [{ kind: "ended", endedAt: 1 }], 1, none, 0]),
    "type 2",
  ],
  ["with three quarters of a token", pack([2, "b", 4, [], 1, new Uint8Array(3), 0]), "type 2"],
  [
    "with an acceptance that says something else",
    pack([1, acceptedLater, [], none, 0]),
    "sampling.temperature",
  ],
  ["with too few fields", pack([2, "b"]), "type 2"],
])("a record %s", (_, record, what) => {
  const mixed = () =>
    folder(whole("a", "a "), whole("b", "b "), record, whole("c", "c "), encodeRecord(partOf("b")));

  it("sets its response aside, and leaves all others", async () => {
    const disk = mixed();
    const { losses, foreign } = await recover(disk);
    expect(await contents(disk)).toEqual({ a: "a ", c: "c " });
    expect(losses).toEqual([]);
    expect([...foreign.keys()]).toEqual(["b"]);
    expect(foreign.get("b")!.what).toContain(what);
  });

  it("is kept to the byte with all that its response had", async () => {
    const { foreign } = await recover(mixed());
    const kept = Buffer.concat(foreign.get("b")!.records);
    // A whole one replaces what was before, understood or not.
    const all = [whole("b", "b "), record, encodeRecord(partOf("b"))];
    expect(kept.equals(Buffer.concat(all))).toBe(true);
  });

  it("is no reason to set it aside once it was forgotten or written anew", async () => {
    const forgotten = encodeRecord({ kind: "forgotten", id: "b" });
    expect(await contents(folder(whole("b", "b "), record, forgotten))).toEqual({});
    const anew = folder(whole("b", "b "), record, whole("b", "anew "));
    expect(await contents(anew)).toEqual({ b: "anew " });
    for (const disk of [folder(record, forgotten), anew])
      expect((await recover(disk)).foreign.size).toBe(0);
  });
});

function partOf(id: string) {
  const part = {
    entriesFrom: 4,
    entries: [delta("x")],
    tokensFrom: 1,
    tokens: [2],
    cachedTokens: 0,
    reasoningTokens: 0,
  };
  return { kind: "part", id, part } as const;
}

describe("what names no response", () => {
  it.each([
    ["a record without fields", pack([99])],
    ["a record about a number", pack([99, 7])],
    ["no record", pack({ type: 99 })],
    ["an empty list", pack([])],
  ])("is kept all the same: %s", async (_, record) => {
    const disk = folder(whole("a", "a "), record, whole("b", "b "));
    const { foreign, losses } = await recover(disk);
    expect(await contents(disk)).toEqual({ a: "a ", b: "b " });
    expect(losses).toEqual([]);
    expect([...foreign.values()].map(({ records }) => Buffer.concat(records))).toEqual([record]);
  });

  it("is told as damage where it can't be told apart; what stands before it in its frame is used", async () => {
    const garbage = Buffer.from([0x93, 0x02]);
    const disk = folder(Buffer.concat([whole("a", "a "), garbage]), whole("b", "b "));
    const { losses, foreign } = await recover(disk);
    expect(await contents(disk)).toEqual({ a: "a ", b: "b " });
    expect(losses).toEqual([{ segment: "00000001-00000000.log", bytes: garbage.length }]);
    expect(foreign.size).toBe(0);
  });
});

describe("counts at the end of a record", () => {
  const stored = async (...counts: number[]) => {
    const accepted = { ...acceptanceOf("a"), promptTokens: none };
    const { responses } = await recover(
      folder(
        pack([1, accepted, [{ kind: "created" }], none]),
        pack([2, "a", 1, [...begun, delta("x")].map(entryToDisk), 0, new Uint8Array(4), ...counts]),
      ),
    );
    return responses[0];
  };

  it.each([
    [[], { cachedTokens: 0, reasoningTokens: 0 }],
    [[3], { cachedTokens: 3, reasoningTokens: 0 }],
    [[3, 2], { cachedTokens: 3, reasoningTokens: 2 }],
    [[3, 0, 4], { cachedTokens: 3, reasoningTokens: 0, forcedTokens: 4 }],
  ])("%j are what they were, of whichever version", async (counts, expected) => {
    expect(await stored(...counts)).toMatchObject(expected);
    if (counts.length < 3) expect(await stored(...counts)).not.toHaveProperty("forcedTokens");
  });
});

describe("fields that are added at the end of a record", () => {
  const text = [...begun, delta("x")].map(entryToDisk);

  it("are passed over", async () => {
    const accepted = { ...acceptanceOf("a"), promptTokens: none };
    const longer = [
      pack([1, accepted, [{ kind: "created" }], none, 0, 0, 0, "later"]),
      pack([2, "a", 1, text, 0, new Uint8Array(4), 0, 0, 0, { later: true }]),
      pack([1, { ...accepted, id: "b" }, [], none, 0]),
      pack([3, "b", "later"]),
    ];
    expect(await contents(folder(...longer))).toEqual({ a: "x" });
  });

  it("may be missing in what was written before", async () => {
    const accepted = { ...acceptanceOf("a"), promptTokens: none };
    const shorter = [
      pack([1, accepted, [{ kind: "created" }], none]),
      pack([2, "a", 1, text, 0, new Uint8Array(4)]),
    ];
    expect(await contents(folder(...shorter))).toEqual({ a: "x" });
  });
});

describe("a journal over a folder with such records", () => {
  const strange = pack([99, "b", "of another version"]);
  const nameless = pack([99]);

  it("moves them with what still counts, once, and lets the old segment go", async () => {
    const disk = folder(whole("a", "a "), whole("b", "b "), strange, nameless);
    const { journal } = await open(disk, { segmentBytesMax: 4_000_000 });
    const [a] = journal.takeRestored();
    const log = new TestLog(a!.acceptance).grow(...a!.entries);
    log.takeUnwritten();
    journal.adopt(log);
    await churn(journal);
    await journal.close();
    expect(disk.files.has("00000001-00000000.log")).toBe(false);
    const { foreign } = await recover(disk);
    const kept = [...foreign.values()].map(({ records }) => Buffer.concat(records));
    expect(kept).toHaveLength(2);
    expect(kept).toContainEqual(Buffer.concat([whole("b", "b "), strange]));
    expect(kept).toContainEqual(nameless);
    expect(await contents(disk)).toMatchObject({ a: "a " });
  });

  it("keeps the segment that has them as long as they are nowhere else", async () => {
    const disk = folder(whole("b", "b "), strange);
    const { journal } = await open(disk);
    for (const id of ["x", "y", "z"]) {
      journal.add(new TestLog(acceptanceOf(id)).grow({ kind: "created" }, ended));
      await settle();
      journal.forget(id);
      await settle();
    }
    await journal.close();
    expect(disk.files.has("00000001-00000000.log")).toBe(true);
    expect((await recover(disk)).foreign.size).toBe(1);
  });

  /** So much garbage that the oldest segments are written again. */
  async function churn(journal: Awaited<ReturnType<typeof open>>["journal"]): Promise<void> {
    const megabytes = "x".repeat(1_900_000);
    for (let i = 0; i < 24; i++) {
      journal.add(new TestLog(acceptanceOf(`g${i}`)).grow(delta(megabytes), ended));
      await settle();
      await settle();
      journal.forget(`g${i}`);
      await settle();
    }
  }
});
