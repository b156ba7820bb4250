/** Clients that take less than they get: what they cost, and when they are told. */
import { describe, expect, it } from "vitest";
import { ServingError } from "../../../../src-ts/errors.js";
import { hold, say } from "../../support/scripted-engine.js";
import { eventually, startServer } from "../../support/test-server.js";
import { openSocket } from "../../support/test-socket.js";

describe("a slow reader", () => {
  it("costs a cursor: it is not written to, others go on, and past the lag cap it gets 1013", async () => {
    const { url, engine } = await startServer({
      limits: { writeBufferBytesMax: 32 * 1024, lagEntriesMax: 200 },
    });
    engine.script = hold;
    const slow = await openSocket(url);
    const fast = await openSocket(url);
    slow.create();
    fast.create();
    await slow.type("response.in_progress");
    await fast.type("response.in_progress");
    slow.ws.pause();
    const [slowRun, fastRun] = engine.runs;
    const emitted: string[] = [];
    while (slowRun!.log.readers > 0) {
      for (let i = 0; i < 20; i++) {
        const text = `${emitted.length} ${"x".repeat(10_000)}`;
        emitted.push(text);
        slowRun!.emit(text);
      }
      fastRun!.emit("y");
      await new Promise((resolve) => setImmediate(resolve));
    }
    fastRun!.end({ kind: "stop" });
    await fast.ended();
    slow.ws.resume();
    expect(await slow.closed).toMatchObject({ code: 1013, reason: "consumer_too_slow" });
    expect(slow.events.at(-1)).toMatchObject({
      type: "error",
      error: { code: "consumer_too_slow" },
    });
    // What it has is whole, and it can go on where it was.
    const taken = slow.events.filter(({ type }) => type === "response.output_text.delta");
    const last = taken.at(-1)!.sequence_number as number;
    slowRun!.end({ kind: "stop" });
    const again = await openSocket(url);
    again.send({
      type: "mlx_serving:response.resume",
      response_id: slowRun!.log.id,
      starting_after: last,
    });
    await again.ended();
    const rest = again.events.filter(({ type }) => type === "response.output_text.delta");
    expect([...taken, ...rest].map(({ delta }) => delta as string)).toEqual(emitted);
  });

  it("that catches up is never told", async () => {
    const { url, engine } = await startServer({
      limits: { writeBufferBytesMax: 16 * 1024, lagEntriesMax: 100_000 },
    });
    const parts = Array.from({ length: 300 }, (_, index) => `${index} ${"z".repeat(20_000)}`);
    engine.script = say(parts);
    const socket = await openSocket(url);
    socket.ws.pause();
    socket.create();
    await eventually(() => engine.runs[0]?.log.ending !== undefined);
    socket.ws.resume();
    await socket.ended();
    const deltas = socket.events.filter(({ type }) => type === "response.output_text.delta");
    expect(deltas.map(({ delta }) => delta as string)).toEqual(parts);
  });

  it("that replays a long log is not slow for that", async () => {
    const { url, engine } = await startServer({
      limits: { writeBufferBytesMax: 16 * 1024, lagEntriesMax: 10 },
    });
    engine.script = (run) => {
      hold(run);
      for (let i = 0; i < 500; i++) run.emit("w".repeat(5_000));
    };
    const socket = await openSocket(url);
    socket.create();
    await eventually(() => engine.runs.length === 1);
    socket.ws.pause();
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.ws.resume();
    engine.runs[0]!.end({ kind: "stop" });
    await socket.ended();
  });

  it("that provokes errors without reading them is closed", async () => {
    const { url, engine } = await startServer({ limits: { controlBufferBytesMax: 64 * 1024 } });
    engine.refusal = new ServingError("x".repeat(10_000), { code: "queue_full", status: 429 });
    const socket = await openSocket(url);
    socket.ws.pause();
    const flood = setInterval(() => {
      for (let i = 0; i < 50; i++) socket.create();
    }, 1);
    // Once it is closed, nothing more of what it sends is looked at.
    let seen = -1;
    while (seen !== engine.submissions.length || seen === 0) {
      seen = engine.submissions.length;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    clearInterval(flood);
    socket.ws.resume();
    expect(await socket.closed).toMatchObject({ code: 1013 });
  });
});
