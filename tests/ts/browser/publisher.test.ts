import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { atNextFrame, Publisher } from "../../../src-ts/browser/publisher.js";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Frames that a test shows. */
function stubFrames() {
  const frames = new Map<number, () => void>();
  let count = 0;
  vi.stubGlobal("requestAnimationFrame", (run: () => void) => {
    frames.set(++count, run);
    return count;
  });
  vi.stubGlobal("cancelAnimationFrame", (id: number) => frames.delete(id));
  return {
    frames,
    show() {
      const due = [...frames.values()];
      frames.clear();
      for (const run of due) run();
    },
  };
}

describe("atNextFrame", () => {
  it("calls back once, with the frame", () => {
    const { show, frames } = stubFrames();
    const run = vi.fn();
    atNextFrame(run);
    expect(run).not.toHaveBeenCalled();
    show();
    vi.runAllTimers();
    expect(run).toHaveBeenCalledTimes(1);
    expect(frames.size).toBe(0);
  });

  it("does not wait for ever on a page that isn't looked at", () => {
    const { frames } = stubFrames();
    const run = vi.fn();
    atNextFrame(run);
    vi.advanceTimersByTime(250);
    expect(run).toHaveBeenCalledTimes(1);
    expect(frames.size).toBe(0);
  });

  it("works where there are no frames", () => {
    const run = vi.fn();
    atNextFrame(run);
    vi.advanceTimersByTime(16);
    expect(run).toHaveBeenCalledTimes(1);
  });

  it("can be given up", () => {
    const { show } = stubFrames();
    const run = vi.fn();
    atNextFrame(run)();
    show();
    vi.runAllTimers();
    expect(run).not.toHaveBeenCalled();
  });
});

describe("Publisher", () => {
  function publisherByHand() {
    const due: (() => void)[] = [];
    const publisher = new Publisher(0, (run) => {
      due.push(run);
      return () => due.splice(0);
    });
    const seen: number[] = [];
    publisher.subscribe(() => seen.push(publisher.shown));
    return { publisher, seen, due };
  }

  it("shows many states that can wait as one", () => {
    const { publisher, seen, due } = publisherByHand();
    for (const state of [1, 2, 3]) publisher.publishLater(state);
    expect([publisher.shown, publisher.newest, due.length]).toEqual([0, 3, 1]);
    due[0]!();
    expect(seen).toEqual([3]);
    publisher.publishLater(4);
    expect(due).toHaveLength(2);
  });

  it("shows at once what can't wait, and nothing twice", () => {
    const { publisher, seen, due } = publisherByHand();
    publisher.publishLater(1);
    publisher.publish(2);
    expect([seen, due]).toEqual([[2], []]);
    publisher.publish(2);
    expect(seen).toEqual([2]);
  });

  it("shows everything at once where nothing waits", () => {
    const publisher = new Publisher(0);
    const seen: number[] = [];
    publisher.subscribe(() => seen.push(publisher.shown));
    for (const state of [1, 2]) publisher.publishLater(state);
    expect(seen).toEqual([1, 2]);
  });

  it("tells each subscription until it leaves", () => {
    const publisher = new Publisher(0);
    const listener = vi.fn();
    const [leave] = [publisher.subscribe(listener), publisher.subscribe(listener)];
    publisher.publish(1);
    expect(listener).toHaveBeenCalledTimes(2);
    leave!();
    publisher.publish(2);
    expect(listener).toHaveBeenCalledTimes(3);
  });

  it("lets no listener's error reach who publishes, nor the other listeners", () => {
    const thrown: (() => void)[] = [];
    vi.stubGlobal("queueMicrotask", (run: () => void) => thrown.push(run));
    const publisher = new Publisher(0);
    const other = vi.fn();
    publisher.subscribe(() => {
      throw new Error("mine");
    });
    publisher.subscribe(other);
    publisher.publish(1);
    expect(other).toHaveBeenCalledTimes(1);
    expect(thrown).toHaveLength(1);
    expect(thrown[0]).toThrow("mine");
  });
});
