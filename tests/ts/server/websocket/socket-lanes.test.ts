/** Lanes of real sockets: what runs at once, what waits, what is too much. */
import { describe, expect, it } from "vitest";
import { ServingError } from "../../../../src-ts/errors.js";
import { hold } from "../../support/scripted-engine.js";
import { eventually, pass, startServer } from "../../support/test-server.js";
import { isTerminal, openSocket } from "../../support/test-socket.js";

describe("lanes", () => {
  it("run in parallel, and what is in one lane one after another", async () => {
    const { url, engine } = await startServer();
    engine.script = hold;
    const socket = await openSocket(url);
    for (const lane of ["a", "b", "a", "b"]) socket.create({ stream_id: lane, metadata: { lane } });
    await eventually(() => engine.runs.length === 2);
    const finish = (index: number) => {
      engine.runs[index]!.emit(`text ${index}`);
      engine.runs[index]!.end({ kind: "stop" });
    };
    finish(1);
    await eventually(() => engine.runs.length === 3);
    finish(2);
    finish(0);
    await eventually(() => engine.runs.length === 4);
    finish(3);
    await socket.ended(4);
    for (const lane of ["a", "b"]) {
      const own = socket.events.filter(({ stream_id }) => stream_id === lane);
      expect(own.filter(isTerminal)).toHaveLength(2);
      const firstEnd = own.findIndex(isTerminal);
      const secondStart = own.findIndex(({ type }, at) => at > 0 && type === "response.created");
      expect(secondStart).toBe(firstEnd + 1);
      expect(own.every(({ response }) => (response?.metadata.lane ?? lane) === lane)).toBe(true);
    }
    expect(socket.events.every(({ stream_id }) => stream_id !== undefined)).toBe(true);
  });

  it("without a name are one lane", async () => {
    const { url, engine } = await startServer();
    engine.script = hold;
    const socket = await openSocket(url);
    socket.create();
    socket.create();
    await socket.type("response.in_progress");
    expect(engine.runs).toHaveLength(1);
    engine.runs[0]!.end({ kind: "stop" });
    await eventually(() => engine.runs.length === 2);
    engine.runs[1]!.end({ kind: "stop" });
    await socket.ended(2);
  });

  it("carry 64 responses at once, and are forgotten when they have nothing to do", async () => {
    const { url, engine } = await startServer();
    engine.script = hold;
    const socket = await openSocket(url);
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 64; i++) socket.create({ stream_id: `round_${round}.${i}` });
      await eventually(() => engine.runs.length === 64 * (round + 1));
      for (const run of engine.runs) if (run.log.ending === undefined) run.end({ kind: "stop" });
      await socket.ended(64 * (round + 1));
    }
    expect(socket.events.some(({ type }) => type === "error")).toBe(false);
  });

  it("have bounds: busy lanes, messages of one lane, messages of all", async () => {
    const { url, engine } = await startServer({
      limits: { lanesPerSocketMax: 2, queuedPerLaneMax: 1, requestsPerSocketMax: 5 },
    });
    engine.script = hold;
    const socket = await openSocket(url);
    socket.create({ stream_id: "a" });
    socket.create({ stream_id: "b" });
    socket.create({ stream_id: "c", event_id: "third lane" });
    socket.create({ stream_id: "a" });
    socket.create({ stream_id: "a", event_id: "third of a" });
    socket.create();
    socket.create();
    socket.create({ stream_id: "b", event_id: "sixth" });
    await socket.type("error", 3);
    const errors = socket.events.filter(({ type }) => type === "error");
    expect(errors.map(({ event_id, status, error }) => [event_id, status, error.code])).toEqual([
      ["third lane", 429, "websocket_stream_limit_reached"],
      ["third of a", 429, "lane_full"],
      ["sixth", 429, "socket_full"],
    ]);
  });

  it("count a deadline from the message's arrival", async () => {
    const { url, engine } = await startServer();
    engine.script = hold;
    const socket = await openSocket(url);
    socket.create();
    await socket.type("response.in_progress");
    socket.create({ "mlx_serving:deadline_ms": 1, event_id: "late" });
    socket.create({ "mlx_serving:deadline_ms": 60_000 });
    // Once this has begun, those before it have arrived.
    socket.create({ stream_id: "other" });
    await eventually(() => engine.submissions.length === 2);
    await pass(20);
    engine.runs[0]!.end({ kind: "stop" });
    expect(await socket.type("error")).toMatchObject({
      status: 504,
      error: { code: "deadline_exceeded" },
      event_id: "late",
    });
    await eventually(() => engine.submissions.length === 3);
    const { deadlineMs } = engine.submissions[2]!;
    expect(deadlineMs).toBeGreaterThan(0);
    expect(deadlineMs).toBeLessThanOrEqual(60_000 - 20);
  });

  it("go on after a refused message", async () => {
    const { url, engine } = await startServer();
    engine.refusal = new ServingError("no", { code: "queue_full", status: 429 });
    const socket = await openSocket(url);
    socket.create({ stream_id: "a" });
    await socket.type("error");
    engine.refusal = undefined;
    socket.create({ stream_id: "a" });
    await socket.ended();
  });

  it("go on after a message whose fields do not go together, also where it had to wait", async () => {
    const { url, engine } = await startServer();
    engine.script = hold;
    const socket = await openSocket(url);
    socket.create({ stream_id: "a" });
    await eventually(() => engine.runs.length === 1);
    socket.create({ stream_id: "a", tool_choice: "required" });
    socket.create({ stream_id: "a" });
    engine.runs[0]!.end({ kind: "stop" });
    const error = { code: "invalid_value", param: "tool_choice" };
    expect(await socket.type("error")).toMatchObject({ status: 400, error, stream_id: "a" });
    await eventually(() => engine.runs.length === 2);
    engine.runs[1]!.end({ kind: "stop" });
    await socket.ended(2);
  });
});
