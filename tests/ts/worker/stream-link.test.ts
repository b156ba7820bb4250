/** A link over any stream: what comes over it, and that its end is told once. */
import { duplexPair } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { encodeRaw } from "../../../src-ts/worker/link.js";
import { fromWorkerTypes } from "../../../src-ts/worker/messages.js";
import { StreamLink } from "../../../src-ts/worker/stream-link.js";

function linked(epoch = 1) {
  const [ours, theirs] = duplexPair();
  const seen: string[] = [];
  const link = new StreamLink(ours, epoch, {
    message: ({ type }) => seen.push(type),
    stale: (frames) => seen.push(`stale ${frames}`),
    violated: () => seen.push("violated"),
    closed: () => seen.push("closed"),
  });
  return { link, ours, theirs, seen };
}

const progress = (epoch: number) =>
  encodeRaw(fromWorkerTypes.prefill, epoch, { id: 2, done: 3, total: 4, cached: 0 });

describe("a link over a stream", () => {
  it("carries frames of its epoch both ways", async () => {
    const { link, theirs, seen } = linked(3);
    theirs.write(progress(3));
    theirs.write(progress(2));
    link.send({ type: "abort", ids: [1] });
    await setImmediate();
    expect(seen).toEqual(["prefill", "stale 1"]);
    expect(theirs.read()).toBeInstanceOf(Buffer);
  });

  it("tells an end of the other side, and drops what is sent then", async () => {
    const { link, ours, theirs, seen } = linked();
    theirs.end();
    theirs.resume();
    await link.flushed;
    expect(seen).toEqual(["closed"]);
    link.send({ type: "abort", ids: [1] });
    expect(ours.writable).toBe(false);
  });

  it("tells a break, as of a connection to another machine, once", async () => {
    const { link, ours, seen } = linked();
    ours.destroy(Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }));
    await link.flushed;
    expect(seen).toEqual(["closed"]);
  });

  it("ends at a frame that breaks the rules", async () => {
    const { theirs, seen } = linked();
    theirs.write(Buffer.alloc(64, 0xff));
    theirs.write(progress(1));
    await setImmediate();
    expect(seen).toEqual(["violated"]);
  });
});
