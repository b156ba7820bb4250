import { pack } from "msgpackr";
import { describe, expect, it } from "vitest";
import { encodeFrame, segmentStart } from "../../../src-ts/journal/frames.js";
import { UnknownRecord } from "../../../src-ts/journal/records.js";
import { recover, UnknownVersion } from "../../../src-ts/journal/recovery.js";
import { MemoryDisk } from "../../support/memory-disk.js";
import { settle } from "../engine/sim.js";
import { acceptanceOf, contents, delta, ended, open, TestLog, textOf } from "./support.js";

const words = ["a ", "b ", "c ", "d ", "e "];

/** Two responses, one part a write, side by side. */
async function written(segmentBytesMax: number): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const { journal } = await open(disk, { segmentBytesMax });
  const logs = ["one", "two"].map((id) => new TestLog(acceptanceOf(id)).grow({ kind: "created" }));
  for (const log of logs) {
    journal.add(log);
    await settle();
  }
  for (const word of words) {
    for (const log of logs) {
      journal.touch(log.grow(delta(word)));
      await settle();
    }
  }
  for (const log of logs) journal.touch(log.grow(ended));
  await settle();
  return disk;
}

const whole = `${words.join("")}.`;
const isCut = (text: string): boolean => whole.startsWith(text);

describe("recovery", () => {
  it("cuts a torn end back to the last good record, wherever it is torn", async () => {
    const disk = await written(1e6);
    const [name, data] = [...disk.files][0]!;
    for (let length = 0; length < data.length; length += 7) {
      const torn = new MemoryDisk();
      torn.files.set(name, Buffer.from(data.subarray(0, length)));
      const { responses } = await recover(torn);
      for (const { entries } of responses) expect(isCut(textOf(entries))).toBe(true);
      // Cut off on disk too: the second time nothing is damaged.
      const { losses, responses: again } = await recover(torn);
      if (responses.length > 0) expect(losses).toEqual([]);
      expect(again).toEqual(responses);
    }
  });

  it("survives any flipped bit: what is read is a beginning of what was written", async () => {
    const disk = await written(1e6);
    const [name, data] = [...disk.files][0]!;
    let losses = 0;
    for (let bit = 0; bit < data.length * 8; bit += 13) {
      const damaged = disk.afterDeath();
      damaged.flipBit(name, bit);
      const recovered = await recover(damaged);
      if (recovered.losses.length > 0) losses++;
      expect(recovered.responses.length).toBeGreaterThanOrEqual(1);
      for (const { entries } of recovered.responses) expect(isCut(textOf(entries))).toBe(true);
    }
    expect(losses).toBeGreaterThan(100);
  });

  it("goes on from where a damage cut a response back, and keeps that through the next start", async () => {
    const disk = await written(1e6);
    const name = [...disk.files.keys()][0]!;
    const data = disk.files.get(name)!;
    disk.flipBit(name, data.indexOf("c ") * 8);
    const opened = await open(disk);
    const [one] = opened.journal.takeRestored().filter(({ entries }) => textOf(entries) === "a b ");
    const log = new TestLog(one!.acceptance).grow(...one!.entries);
    log.takeUnwritten();
    opened.journal.adopt(log);
    opened.journal.touch(log.grow(delta("C ")));
    await opened.journal.close();
    expect(await contents(disk)).toMatchObject({ [one!.acceptance.id]: "a b C " });
  });

  it("reads over many segments, and ignores files that are not its own", async () => {
    const disk = await written(600);
    expect(disk.files.size).toBeGreaterThan(2);
    disk.files.set("notes.txt", Buffer.from("hello"));
    expect(await contents(disk)).toEqual({ one: whole, two: whole });
  });

  it("does without a missing segment", async () => {
    const disk = await written(600);
    const names = [...disk.files.keys()].sort();
    disk.files.delete(names[1]!);
    for (const text of Object.values(await contents(disk))) expect(isCut(text)).toBe(true);
  });

  it("refuses what it doesn't understand rather than lose it", async () => {
    const disk = new MemoryDisk();
    const frame = encodeFrame(Buffer.from([0x93, 0x63, 0x01, 0x02]), 0);
    disk.files.set("00000001-00000000.log", Buffer.concat([segmentStart(), frame]));
    await expect(recover(disk)).rejects.toThrow(UnknownRecord);
  });

  const none = new Uint8Array();
  it.each([
    ["an unknown kind of entry", [{ kind: "imageDelta" }], none],
    ["a delta without its text", [{ kind: "textDelta", tokens: 1 }], none],
    ["less than no token", [{ kind: "textDelta", text: "a", tokens: -1 }], none],
    ["a log probability that is none", [{ ...delta("a"), logprobs: [{ token: "a" }] }], none],
    ["an end without its reason", [{ kind: "ended", endedAt: 1 }], none],
    ["three quarters of a token", [delta("a")], new Uint8Array(3)],
  ])("refuses a part with %s", async (_, entries, tokens) => {
    const disk = new MemoryDisk();
    const payload = pack([2, "id", 0, entries, 0, tokens, 0]);
    const frame = encodeFrame(payload, 0);
    disk.files.set("00000001-00000000.log", Buffer.concat([segmentStart(), frame]));
    await expect(recover(disk)).rejects.toThrow(UnknownRecord);
  });

  it("refuses a folder of another version", async () => {
    const disk = new MemoryDisk();
    disk.files.set("00000001-00000000.log", Buffer.from("mlx-serving journal 2\n"));
    await expect(recover(disk)).rejects.toThrow(UnknownVersion);
  });
});
