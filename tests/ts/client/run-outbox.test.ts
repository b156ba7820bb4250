import { describe, expect, it } from "vitest";
import { Outbox } from "../../../src-ts/client/run-outbox.js";

/** Whether it has resolved by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const open = Symbol("open");
  await new Promise((resolve) => setImmediate(resolve));
  return (await Promise.race([promise, Promise.resolve(open)])) !== open;
}

async function rest<T>(outbox: Outbox<T>): Promise<T[]> {
  const events: T[] = [];
  for (let next = await outbox.next(); !next.done; next = await outbox.next())
    events.push(next.value);
  return events;
}

describe("a reader", () => {
  it("gets what was told before and after it came, then the end", async () => {
    const outbox = new Outbox<number>(10);
    await outbox.push(1);
    outbox.iterate();
    const first = rest(outbox);
    await outbox.push(2);
    outbox.finish({ kind: "done" });
    await outbox.push(3);
    expect(await first).toEqual([1, 2]);
    expect(await outbox.next()).toEqual({ done: true, value: undefined });
  });

  it("holds the run back until there is room, and loses nothing", async () => {
    const outbox = new Outbox<number>(2);
    outbox.iterate();
    await outbox.push(1);
    const full = outbox.push(2);
    expect(await isSettled(full)).toBe(false);
    expect(await outbox.next()).toEqual({ done: false, value: 1 });
    expect(await isSettled(full)).toBe(true);
    outbox.finish({ kind: "done" });
    expect(await rest(outbox)).toEqual([2]);
  });

  it("gets the failure in place of what is kept", async () => {
    const outbox = new Outbox<number>(1);
    outbox.iterate();
    const full = outbox.push(1);
    outbox.finish({ kind: "failed", error: new Error("Broken") });
    outbox.finish({ kind: "done" });
    expect(await isSettled(full)).toBe(true);
    await expect(outbox.next()).rejects.toThrow("Broken");
  });

  it("is one", () => {
    const outbox = new Outbox<number>(1);
    outbox.iterate();
    outbox.iterate();
    expect(() => outbox.listen(() => {})).toThrow(TypeError);
  });
});

describe("a listener", () => {
  it("gets all of it at once, and lets who waits go on", async () => {
    const outbox = new Outbox<number>(1);
    const full = outbox.push(1);
    const events: number[] = [];
    outbox.listen((event) => events.push(event));
    expect(await isSettled(full)).toBe(true);
    await outbox.push(2);
    await outbox.push(3);
    expect(events).toEqual([1, 2, 3]);
    expect(() => outbox.iterate()).toThrow(TypeError);
  });
});

describe("with nobody who reads", () => {
  it("keeps up to its limit, and gives it up when only the end is waited for", async () => {
    const outbox = new Outbox<number>(2);
    await outbox.push(1);
    const full = outbox.push(2);
    expect(await isSettled(full)).toBe(false);
    outbox.await();
    expect(await isSettled(full)).toBe(true);
    for (let i = 0; i < 10; i += 1) expect(await isSettled(outbox.push(i))).toBe(true);
    expect(() => outbox.iterate()).toThrow(TypeError);
  });

  it("can still be read while it has room, whoever waits for the end", async () => {
    const outbox = new Outbox<number>(3);
    outbox.await();
    await outbox.push(1);
    outbox.iterate();
    await outbox.push(2);
    outbox.finish({ kind: "done" });
    expect(await rest(outbox)).toEqual([1, 2]);
  });
});
