import type { Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import * as ws from "ws";
import { encodeTextFrames } from "../../../../src-ts/server/websocket/frames.js";

describe("text frames", () => {
  it("are read by a WebSocket receiver as what they were, whatever their length", async () => {
    const lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 200_000];
    const texts = lengths.flatMap((length) => ["x".repeat(length), "é🌍".repeat(length / 6)]);
    // Not in the type declarations: the parser of the client side.
    const { Receiver } = ws as unknown as {
      Receiver: new (options: { isServer: boolean }) => Writable;
    };
    const receiver = new Receiver({ isServer: false });
    const received: string[] = [];
    receiver.on("message", (data: Buffer, isBinary: boolean) => {
      expect(isBinary).toBe(false);
      received.push(data.toString());
    });
    await new Promise<void>((resolve) => receiver.end(encodeTextFrames(texts), () => resolve()));
    await new Promise((resolve) => setImmediate(resolve));
    expect(received).toEqual(texts);
  });
});
