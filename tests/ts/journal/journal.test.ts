import { describe, expect, it } from "vitest";
import type { LogEntry } from "../../../src-ts/engine/api.js";
import { recover } from "../../../src-ts/journal/recovery.js";
import { MemoryDisk } from "../../support/memory-disk.js";
import { settle } from "../engine/sim.js";
import { acceptanceOf, contents, delta, ended, open, TestLog } from "./support.js";

const created = { kind: "created" } as const;

/** Accepted and on disk. */
async function stored({ journal }: Awaited<ReturnType<typeof open>>, id: string): Promise<TestLog> {
  const log = new TestLog(acceptanceOf(id)).grow(created);
  journal.add(log);
  await settle();
  return log;
}

describe("a journal", () => {
  it("gives the next process what was written, field by field", async () => {
    const disk = new MemoryDisk();
    const { journal } = await open(disk);
    const acceptance = acceptanceOf("resp_1", {
      deadlineAt: 1_700_000_060_000,
      idempotency: { key: "k", fingerprint: "f" },
      priority: "batch",
    });
    const logprob = { token: "a", bytes: [97], logprob: -0.25 };
    const text: LogEntry = {
      kind: "delta",
      index: 0,
      part: 0,
      text: "a",
      tokens: 1,
      logprobs: [{ ...logprob, top: [logprob] }],
    };
    const log = new TestLog(acceptance).grow(created, { kind: "inProgress" }, text, ended);
    journal.add(log);
    await settle();
    expect(log.writtenEntries).toBe(6);
    const { responses } = await recover(disk.afterDeath());
    expect(responses).toEqual([
      { acceptance, entries: log.entries, tokens: log.tokens, cachedTokens: 0, reasoningTokens: 0 },
    ]);
  });

  it("is settled when what came before is written, and not before", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk);
    const { journal } = opened;
    await stored(opened, "a");
    await journal.settled();
    let arrive = (): void => {};
    disk.faults.delay = () => new Promise((resolve) => (arrive = resolve));
    journal.forget("a");
    let settled = 0;
    void journal.settled().then(() => settled++);
    await settle();
    void journal.settled().then(() => settled++);
    await settle();
    expect(settled).toBe(0);
    expect(await contents(disk)).toEqual({ a: "" });
    arrive();
    await settle();
    expect(settled).toBe(2);
    expect(await contents(disk)).toEqual({});
  });

  it("that closes while it can't be written lets nobody wait", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk);
    await stored(opened, "a");
    disk.faults.roomBytes = 0;
    opened.journal.forget("a");
    const settled = opened.journal.settled();
    const refused = expect(settled).rejects.toMatchObject({ code: "storage_unavailable" });
    await settle();
    await opened.journal.close();
    await refused;
    await expect(opened.journal.settled()).rejects.toMatchObject({ code: "storage_unavailable" });
  });

  it("says that something is written only when it is", async () => {
    const disk = new MemoryDisk();
    let arrive = (): void => {};
    const opened = await open(disk);
    const log = await stored(opened, "a");
    disk.faults.delay = () => new Promise((resolve) => (arrive = resolve));
    opened.journal.touch(log.grow(delta("x")));
    await settle();
    expect(log.writtenEntries).toBe(1);
    arrive();
    await settle();
    expect(log.writtenEntries).toBe(4);
  });

  it("writes together what comes while a write is under way", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk, { segmentBytesMax: 1e6 });
    const logs = await Promise.all(["a", "b", "c"].map((id) => stored(opened, id)));
    const before = disk.writes;
    let arrive = (): void => {};
    disk.faults.delay = () => new Promise((resolve) => (arrive = resolve));
    for (let round = 0; round < 20; round++) {
      for (const log of logs) opened.journal.touch(log.grow(delta(`${round} `)));
      await settle();
    }
    disk.faults.delay = () => Promise.resolve();
    arrive();
    await settle();
    expect(disk.writes - before).toBe(2);
    expect(logs.map(({ writtenEntries }) => writtenEntries)).toEqual([23, 23, 23]);
  });

  it("syncs before it says so, if it is asked to", async () => {
    const disk = new MemoryDisk();
    await stored(await open(disk), "a");
    expect(disk.syncs).toBe(0);
    await stored(await open(disk, { fsync: true }), "b");
    expect(disk.syncs).toBeGreaterThan(1);
  });

  it("forgets for good, whenever the word comes", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk);
    await stored(opened, "early");
    const late = await stored(opened, "late");
    opened.journal.forget("early");
    opened.journal.touch(late.grow(delta("x")));
    opened.journal.add(new TestLog(acceptanceOf("never")).grow(created));
    opened.journal.forget("never");
    await settle();
    expect(await contents(disk)).toEqual({ late: "x" });
  });

  it("waits for what is under way when it closes, takes nothing after, and lets the folder go", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk);
    const log = await stored(opened, "a");
    opened.journal.touch(log.grow(delta("x"), ended));
    await opened.journal.close();
    expect(log.writtenEntries).toBe(5);
    expect(opened.released()).toBe(1);
    const refused = new TestLog(acceptanceOf("b")).grow(created);
    opened.journal.add(refused);
    await settle();
    expect(refused.refused).toBe(true);
    expect(await contents(disk)).toEqual({ a: "x." });
  });
});

describe("a disk that is full", () => {
  it("turns new responses away, keeps the others waiting, and goes on when there is room", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk);
    const { journal, clock, messages } = opened;
    const log = await stored(opened, "a");
    disk.faults.roomBytes = 10;
    const entering = new TestLog(acceptanceOf("b")).grow(created);
    journal.touch(log.grow(delta("x")));
    journal.add(entering);
    await settle();
    expect(entering.refused).toBe(true);
    expect(journal.failing).toMatchObject({ code: "storage_unavailable", status: 503 });
    expect(journal.failing?.message).toContain("its disk is full");
    expect(log.writtenEntries).toBe(1);
    const later = new TestLog(acceptanceOf("c")).grow(created);
    journal.add(later);
    await clock.advance(2_000);
    expect(later.refused).toBe(true);
    expect(log.stalls).toEqual([]);
    await clock.advance(4_000);
    expect(log.stalls.at(-1)).toMatchObject({ code: "storage_unavailable" });

    disk.faults.roomBytes = 1e6;
    await clock.advance(1_000);
    expect(journal.failing).toBeUndefined();
    expect(log.writtenEntries).toBe(4);
    expect(messages).toEqual([
      "the journal can't be written; stored responses wait",
      "the journal can be written again",
    ]);
    expect(await contents(disk)).toEqual({ a: "x" });
  });

  it("lets those who wait for what is deleted go, and still forgets it", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk);
    const { journal, clock } = opened;
    await stored(opened, "a");
    disk.faults.roomBytes = 0;
    journal.forget("a");
    const settled = journal.settled().then(
      () => "written",
      ({ code }: { code: string }) => code,
    );
    let answer: string | undefined;
    void settled.then((what) => (answer = what));
    await clock.advance(4_000);
    expect(answer).toBeUndefined();
    await clock.advance(2_000);
    expect(answer).toBe("storage_unavailable");
    expect(await contents(disk)).toEqual({ a: "" });
    disk.faults.roomBytes = 1e6;
    await clock.advance(1_000);
    await journal.settled();
    expect(await contents(disk)).toEqual({});
  });

  it("leaves no trace of a response that was turned away, even if the write got through", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk);
    await stored(opened, "a");
    disk.faults.writeFails = { code: "EIO", share: 1 };
    disk.faults.truncateFails = true;
    const ghost = new TestLog(acceptanceOf("ghost")).grow(created);
    opened.journal.add(ghost);
    await settle();
    expect(ghost.refused).toBe(true);
    disk.faults.writeFails = undefined;
    await opened.clock.advance(1_000);
    expect(await contents(disk)).toEqual({ a: "" });
  });

  it("does not keep a closing journal", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk);
    const log = await stored(opened, "a");
    disk.faults.roomBytes = 0;
    opened.journal.touch(log.grow(delta("x")));
    await settle();
    await opened.journal.close();
    expect(opened.released()).toBe(1);
    expect(log.writtenEntries).toBe(1);
  });
});

describe("segments", () => {
  it("are removed when nothing in them counts", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk);
    for (let i = 0; i < 40; i++) {
      const log = await stored(opened, `r${i}`);
      opened.journal.touch(log.grow(delta("text "), ended));
      await settle();
      if (i > 0) opened.journal.forget(`r${i - 1}`);
      await settle();
    }
    expect(disk.files.size).toBeLessThan(4);
    expect(await contents(disk)).toEqual({ r39: "text ." });
  });

  it("stay in order: the word that one is gone outlives it", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk);
    const kept = await stored(opened, "kept");
    await stored(opened, "gone");
    opened.journal.forget("gone");
    for (let i = 0; i < 60; i++) {
      opened.journal.touch(kept.grow(delta(`some text ${i} `)));
      await settle();
    }
    expect(disk.files.size).toBeGreaterThan(3);
    expect(Object.keys(await contents(disk))).toEqual(["kept"]);
  });

  it("that hold little that counts are written again and go", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk, { segmentBytesMax: 4 * 2 ** 20 });
    const old = await stored(opened, "old");
    const text = "x".repeat(1 << 20);
    for (let i = 0; i < 60; i++) {
      const log = await stored(opened, `r${i}`);
      opened.journal.touch(log.grow(delta(text), ended));
      await settle();
      opened.journal.forget(`r${i}`);
    }
    opened.journal.touch(old.grow(delta("still here"), ended));
    await settle();
    const bytes = [...disk.files.values()].reduce((sum, { length }) => sum + length, 0);
    expect(bytes).toBeLessThan(45 * 2 ** 20);
    expect(await contents(disk)).toEqual({ old: "still here." });
  });
});
