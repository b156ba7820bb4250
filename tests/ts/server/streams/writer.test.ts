import { describe, expect, it } from "vitest";
import type { Cursor, LogEntry } from "../../../../src-ts/engine/api.js";
import { ServingError } from "../../../../src-ts/errors.js";
import { Writer } from "../../../../src-ts/server/streams/writer.js";

const entry: LogEntry = { kind: "delta", index: 0, part: 0, text: "x", tokens: 1 };
const unavailable = new ServingError("no", { code: "storage_unavailable", status: 503 });

/** A cursor with entries to take, in a test's hands. */
function cursorWith(count: number) {
  let ready = (): void => {};
  let interrupted = (_reason: ServingError): void => {};
  let taken = 0;
  let closed = false;
  const cursor = {
    get position() {
      return taken;
    },
    get lag() {
      return count - taken;
    },
    finished: false,
    next: () => {
      if (closed || taken === count) return undefined;
      taken++;
      return entry;
    },
    onReady: (callback: () => void) => {
      ready = callback;
      callback();
    },
    onInterrupted: (callback: (reason: ServingError) => void) => {
      interrupted = callback;
    },
    close: () => {
      closed = true;
    },
  } as unknown as Cursor;
  return {
    cursor,
    wake: () => ready(),
    interrupt: () => {
      closed = true;
      interrupted(unavailable);
    },
  };
}

describe("a writer", () => {
  it("forgets a reading that is interrupted while it waits for its turn", async () => {
    const sink = { bufferedBytes: 0, write: () => {} };
    const owner = {
      onTooSlow: () => expect.unreachable(),
      onFault: (error: unknown) => expect.unreachable(String(error)),
    };
    const writer = new Writer(sink, { writeBufferBytesMax: 10, lagEntriesMax: 1_000 }, owner);
    const reasons: ServingError[] = [];
    const reading = cursorWith(100);
    writer.add({
      cursor: reading.cursor,
      render: (_entry, _number, out) => out.push("0123456789"),
      onEnd: () => expect.unreachable(),
      onInterrupted: (reason) => reasons.push(reason),
    });
    await Promise.resolve();
    expect(reading.cursor.lag).toBe(99);
    reading.interrupt();
    // There is room again: what still stood in the queue must not be asked for ever.
    writer.sent();
    expect(reasons).toEqual([unavailable]);
    expect(writer.size).toBe(0);
  });
});
