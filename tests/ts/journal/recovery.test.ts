import { describe, expect, it } from "vitest";
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

  it.each([
    ["newer", 2, "was written by a newer version (format 2; this one reads 1)"],
    ["much newer", 31, "was written by a newer version (format 31; this one reads 1)"],
    ["unknown older", 0, "has format 0, which this version doesn't read"],
  ])("refuses a folder of a %s version, and changes nothing in it", async (_, version, words) => {
    const disk = await written(600);
    const torn = [...disk.files.keys()].sort()[0]!;
    disk.files.set(torn, disk.files.get(torn)!.subarray(0, -5));
    disk.files.set("00000099-00000000.log", Buffer.from(`mlx-serving journal ${version}\n`));
    const before = new Map(disk.files);
    await expect(recover(disk)).rejects.toThrow(UnknownVersion);
    await expect(recover(disk)).rejects.toThrow(`00000099-00000000.log ${words}`);
    expect(disk.files).toEqual(before);
  });
});
