/** Stored responses and the death of the process that runs them. */
import { describe, expect, it } from "vitest";
import type { EngineOptions, Response, Submission } from "../../../src-ts/engine/api.js";
import type { PrepareInput } from "../../../src-ts/worker/messages.js";
import { MemoryDisk } from "../../support/memory-disk.js";
import { open } from "../journal/support.js";
import { Sim, settle, submission, VirtualClock, wordAt } from "./sim.js";

const words = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, i) => wordAt(from + i)).join("");

let processes = 0;

/** A server process over this disk; its clock goes on where that of `before` stood. */
async function boot(
  disk: MemoryDisk,
  options: Partial<EngineOptions> = {},
  before?: Sim,
): Promise<Sim> {
  const clock = before?.clock ?? new VirtualClock();
  const { journal } = await open(disk, { segmentBytesMax: 1e6, clock });
  const parts = { journal, process: `p${++processes}_`, clock };
  const sim = new Sim(options, {}, parts);
  await sim.start();
  return sim;
}

async function begin(sim: Sim, changes: Partial<Submission> = {}): Promise<Response> {
  const response = await sim.engine.submit(submission({ store: true, ...changes }));
  await sim.clock.advance(5);
  return response;
}

async function steps(sim: Sim, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    sim.worker.step();
    await settle();
  }
}

/** SIGKILL, and the next process on what is left. */
async function reboot(sim: Sim, disk: MemoryDisk, options: Partial<EngineOptions> = {}) {
  const next = disk.afterDeath();
  sim.worker.alive = false;
  const rebooted = await boot(next, options, sim);
  await rebooted.clock.advance(5);
  return { sim: rebooted, disk: next };
}

describe("a stored response", () => {
  it("is accepted when it is on disk, and not before", async () => {
    const disk = new MemoryDisk();
    const sim = await boot(disk);
    let arrive = (): void => {};
    disk.faults.delay = () => new Promise((resolve) => (arrive = resolve));
    let accepted = false;
    const submitted = sim.engine.submit(submission({ store: true })).then(() => {
      accepted = true;
    });
    await settle();
    expect(accepted).toBe(false);
    disk.faults.delay = () => Promise.resolve();
    arrive();
    await submitted;
    expect(accepted).toBe(true);
  });

  it.each<[PrepareInput, boolean]>([
    [{ kind: "chat", messages: [] }, true],
    [{ kind: "text", text: "Once" }, false],
  ])("begins a turn after a restart as before: %j", async (input, chat) => {
    const first = new MemoryDisk();
    const before = await boot(first);
    await begin(before, { input });
    const { sim } = await reboot(before, first);
    expect([...sim.worker.running.values()].map(({ admission }) => admission.chat)).toEqual([chat]);
  });

  it("shows only what is on disk", async () => {
    const disk = new MemoryDisk();
    const sim = await boot(disk);
    const response = await begin(sim);
    const cursor = response.read(-1);
    await steps(sim, 2);
    while (cursor.next() !== undefined);
    disk.faults.delay = () => new Promise(() => {});
    await steps(sim, 3);
    expect(cursor.next()).toBeUndefined();
    expect(response.text).toBe(words(0, 2));
    expect(response.ending).toBeUndefined();
    expect(() => response.read(response.entries.length)).toThrow(/starting_after/);
  });

  it("goes on after the death of the process, wherever it stood", async () => {
    for (let before = 0; before <= 5; before++) {
      const first = new MemoryDisk();
      const sim = await boot(first);
      const { id } = await begin(sim);
      await steps(sim, before);
      const seen = sim.engine.get(id, "o")!.entries.map((entry) => JSON.stringify(entry));
      const after = await reboot(sim, first);
      await steps(after.sim, 6);
      const response = after.sim.engine.get(id, "o")!;
      expect(response.text).toBe(words(0, 5));
      expect(response.ending).toEqual({ kind: "length" });
      expect(response.entries.filter(({ kind }) => kind === "ended")).toHaveLength(1);
      const all = response.entries.map((entry) => JSON.stringify(entry));
      expect(all.slice(0, seen.length)).toEqual(seen);
    }
  });

  it("is found again by its key, its owner and nobody else", async () => {
    const disk = new MemoryDisk();
    const sim = await boot(disk);
    const idempotency = { key: "k", fingerprint: "f" };
    const { id } = await begin(sim, { idempotency });
    const after = await reboot(sim, disk);
    const again = await after.sim.engine.submit(submission({ store: true, idempotency }));
    expect(again.id).toBe(id);
    const other = { key: "k", fingerprint: "another body" };
    await expect(
      after.sim.engine.submit(submission({ store: true, idempotency: other })),
    ).rejects.toMatchObject({ code: "idempotency_conflict" });
    expect(after.sim.engine.get(id, "somebody")).toBeUndefined();
  });

  it("keeps its deadline over a restart", async () => {
    const disk = new MemoryDisk();
    const sim = await boot(disk);
    const { id } = await begin(sim, { deadlineMs: 10_000 });
    await sim.clock.advance(6_000);
    const after = await reboot(sim, disk);
    await after.sim.clock.advance(3_000);
    expect(after.sim.engine.get(id, "o")?.ending).toBeUndefined();
    await after.sim.clock.advance(1_500);
    expect(after.sim.engine.get(id, "o")?.ending).toEqual({ kind: "expired" });
  });

  it("that has ended is kept as long as it would have been, and its end is the same", async () => {
    const disk = new MemoryDisk();
    const sim = await boot(disk);
    const { id } = await begin(sim);
    await steps(sim, 5);
    const { entries } = sim.engine.get(id, "o")!;
    await sim.clock.advance(40_000);
    const after = await reboot(sim, disk);
    expect(after.sim.engine.get(id, "o")?.entries).toEqual(entries);
    await after.sim.clock.advance(25_000);
    expect(after.sim.engine.get(id, "o")).toBeUndefined();
    const last = await reboot(after.sim, after.disk);
    expect(last.sim.engine.get(id, "o")).toBeUndefined();
  });

  it("that was deleted or never accepted does not come back", async () => {
    const disk = new MemoryDisk();
    const sim = await boot(disk);
    const deleted = await begin(sim);
    await expect(sim.engine.delete(deleted.id, "o")).resolves.toBe(true);
    expect((await reboot(sim, disk)).sim.engine.get(deleted.id, "o")).toBeUndefined();
    const abort = new AbortController();
    const given = sim.engine.submit(submission({ store: true }), abort.signal);
    abort.abort();
    await expect(given).rejects.toMatchObject({ code: "cancelled" });
    await settle();
    const after = await reboot(sim, disk);
    expect(after.sim.worker.running.size).toBe(0);
    expect(after.sim.engine.get(deleted.id, "o")).toBeUndefined();
  });

  it("of a model that is not served any more fails", async () => {
    const disk = new MemoryDisk();
    const sim = await boot(disk);
    const { id } = await begin(sim);
    const after = await reboot(sim, disk, { models: [{ id: "n", kind: "fake", path: "" }] });
    expect(after.sim.engine.get(id, "o")?.ending).toMatchObject({ code: "model_unavailable" });
  });

  it("is left to the next process by a drain that runs out of time; the others fail", async () => {
    const disk = new MemoryDisk();
    const sim = await boot(disk);
    const stored = await begin(sim);
    const unstored = await begin(sim, { store: false });
    await steps(sim, 2);
    const cursor = stored.read(-1);
    const reasons: string[] = [];
    cursor.onInterrupted(({ code }) => reasons.push(code));
    const drained = sim.engine.drain(1_000);
    await sim.clock.advance(1_100);
    await drained;
    expect(reasons).toEqual(["server_draining"]);
    expect(stored.ending).toBeUndefined();
    expect(unstored.ending).toMatchObject({ kind: "failed", code: "server_shutdown" });
    const closed = sim.engine.close();
    await sim.clock.advance(100);
    await closed;
    const after = await reboot(sim, disk);
    await steps(after.sim, 5);
    expect(after.sim.engine.get(stored.id, "o")?.text).toBe(words(0, 5));
    expect(after.sim.engine.get(unstored.id, "o")).toBeUndefined();
  });
});

describe("a full disk", () => {
  it("turns away what must be stored and nothing else, and goes on when there is room", async () => {
    const disk = new MemoryDisk();
    const sim = await boot(disk);
    const response = await begin(sim);
    disk.faults.roomBytes = 0;
    await expect(sim.engine.submit(submission({ store: true }))).rejects.toMatchObject({
      code: "storage_unavailable",
      status: 503,
      retryAfterS: 1,
    });
    const unstored = await begin(sim, { store: false });
    const reasons: string[] = [];
    const { length } = response.entries;
    response.read(length - 1).onInterrupted(({ code }) => reasons.push(code));
    response.read(-1).onInterrupted(() => reasons.push("one who has something to read"));
    await steps(sim, 5);
    expect(unstored.ending).toEqual({ kind: "length" });
    expect(response.ending).toBeUndefined();
    await sim.clock.advance(6_000);
    expect(reasons).toEqual(["storage_unavailable"]);
    disk.faults.roomBytes = 1e6;
    await sim.clock.advance(1_000);
    expect(response.ending).toEqual({ kind: "length" });
    expect((await begin(sim)).entries.length).toBeGreaterThan(0);
  });
});

describe("iterating what can't be followed", () => {
  it("throws why", async () => {
    const disk = new MemoryDisk();
    const sim = await boot(disk);
    const response = await begin(sim);
    const read = (async () => {
      for await (const _entry of response.read(-1));
    })();
    const failed = expect(read).rejects.toMatchObject({ code: "server_draining" });
    const drained = sim.engine.drain(0);
    await sim.clock.advance(10);
    await failed;
    await drained;
  });
});
