import { describe, expect, it } from "vitest";
import type { Clock } from "../../../src-ts/engine/ports.js";
import { Idle, Ready } from "../../../src-ts/engine/waiting.js";

describe("until the model can be used", () => {
  it("all who wait hear of it", async () => {
    const ready = new Ready();
    const waiting = [ready.wait(), ready.wait()];
    ready.reached();
    await expect(Promise.all(waiting)).resolves.toEqual([undefined, undefined]);
  });

  it("all who wait hear why it can't, and who asks later too", async () => {
    const ready = new Ready();
    const waiting = ready.wait();
    ready.failed(new Error("no such file"));
    await expect(waiting).rejects.toThrow("no such file");
    await expect(ready.wait()).rejects.toThrow("no such file");
  });

  it("a failure is forgotten when it can after all", async () => {
    const ready = new Ready();
    ready.failed(new Error("no such file"));
    ready.reached();
    const waiting = ready.wait();
    ready.reached();
    await expect(waiting).resolves.toBeUndefined();
  });
});

describe("until nothing runs", () => {
  /** A clock whose one timer is fired by hand. */
  function bench(running: number) {
    const timers: (() => void)[] = [];
    let cancelled = 0;
    const after: Clock["after"] = (_ms, passed) => {
      timers.push(passed);
      return { cancel: () => void cancelled++ };
    };
    const state = { running };
    const idle = new Idle({ after } as Clock, () => state.running === 0);
    return { idle, state, timers, cancelled: () => cancelled };
  }

  it("waits for nothing where nothing runs", async () => {
    const { idle, timers } = bench(0);
    await idle.reached(10);
    expect(timers).toEqual([]);
  });

  it("looks again when something has ended, and lets its timer go", async () => {
    const { idle, state, cancelled } = bench(2);
    const heard: string[] = [];
    const waiting = idle.reached(10).then(() => heard.push("idle"));
    state.running = 1;
    idle.look();
    await Promise.resolve();
    expect(heard).toEqual([]);
    state.running = 0;
    idle.look();
    await waiting;
    expect(heard).toEqual(["idle"]);
    expect(cancelled()).toBe(1);
  });

  it("waits no longer than it may", async () => {
    const { idle, timers } = bench(1);
    const waiting = idle.reached(10);
    for (const passed of timers) passed();
    await expect(waiting).resolves.toBeUndefined();
  });
});
