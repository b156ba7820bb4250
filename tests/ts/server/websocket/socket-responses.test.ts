/** Responses over real sockets: their events, their end, and how they are resumed. */
import { describe, expect, it } from "vitest";
import { ServingError } from "../../../../src-ts/errors.js";
import { hello, helloParts, hold } from "../../support/scripted-engine.js";
import { eventually, startServer } from "../../support/test-server.js";
import { isTerminal, openSocket } from "../../support/test-socket.js";

describe("a response", () => {
  it("has the events of the stream over HTTP", async () => {
    const { url, engine } = await startServer();
    const socket = await openSocket(url);
    socket.create();
    await socket.ended();
    expect(socket.events.map(({ type }) => type)).toEqual([
      "response.created",
      "response.queued",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      ...helloParts.map(() => "response.output_text.delta"),
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.completed",
    ]);
    expect(socket.events.map((event) => event.sequence_number)).toEqual(
      socket.events.map((_, index) => index),
    );
    expect(socket.events.some((event) => "stream_id" in event)).toBe(false);
    expect(socket.events.map(({ delta }) => delta ?? "").join("")).toBe(hello);
    expect(engine.submissions[0]).toMatchObject({ store: true, priority: "normal" });
  });

  it("takes deadline, priority and idempotency key from the message", async () => {
    const { url, engine } = await startServer();
    engine.script = hold;
    const socket = await openSocket(url);
    const message = {
      store: false,
      "mlx_serving:deadline_ms": 60_000,
      "mlx_serving:priority": "interactive",
      "mlx_serving:idempotency_key": "once",
    };
    // Ids correlate; they are no part of what the key stands for.
    socket.create({ ...message, stream_id: "a", event_id: "1" });
    socket.create({ ...message, stream_id: "b", event_id: "1" });
    await socket.type("response.in_progress", 2);
    expect(engine.submissions).toHaveLength(1);
    const [submission] = engine.submissions;
    expect(submission).toMatchObject({ priority: "interactive" });
    // Less by what the message has waited.
    expect(submission?.deadlineMs).toBeGreaterThan(30_000);
    expect(submission?.deadlineMs).toBeLessThanOrEqual(60_000);
    socket.create({ ...message, input: "other", stream_id: "c", event_id: "2" });
    const error = await socket.type("error");
    expect(error).toMatchObject({ status: 409, event_id: "2", stream_id: "c" });
    engine.runs[0]!.emit("both");
    engine.runs[0]!.end({ kind: "stop" });
    await socket.ended(2);
    const ids = socket.events.filter(isTerminal).map(({ response }) => response.id as string);
    expect(new Set(ids).size).toBe(1);
  });

  it("can be cancelled; a second time and after its end that changes nothing", async () => {
    const { url, engine } = await startServer();
    engine.script = hold;
    const socket = await openSocket(url);
    socket.create();
    const { response } = await socket.type("response.created");
    const cancel = { type: "response.cancel", response_id: response.id };
    socket.send(cancel);
    socket.send(cancel);
    const last = await socket.ended();
    expect(last).toMatchObject({ type: "response.incomplete", response: { status: "cancelled" } });
    socket.send(cancel);
    socket.create({ stream_id: "next" });
    await socket.until(({ stream_id }) => stream_id === "next");
    expect(socket.events.filter(isTerminal)).toHaveLength(1);
    expect(socket.events.some(({ type }) => type === "error")).toBe(false);
  });

  it("of another key can be neither cancelled nor resumed", async () => {
    const { url, engine } = await startServer({ apiKeys: ["a", "b"] });
    engine.script = hold;
    const own = await openSocket(url, { headers: { authorization: "Bearer a" } });
    own.create();
    const { response } = await own.type("response.created");
    const other = await openSocket(url, { headers: { authorization: "Bearer b" } });
    other.send({ type: "response.cancel", response_id: response.id, event_id: "e1" });
    other.send({
      type: "mlx_serving:response.resume",
      response_id: response.id,
      starting_after: -1,
      event_id: "e2",
    });
    await other.type("error", 2);
    expect(other.events.map(({ status, event_id }) => [status, event_id])).toEqual([
      [404, "e1"],
      [404, "e2"],
    ]);
    expect(engine.runs[0]!.log.ending).toBeUndefined();
  });

  it("that the engine refuses is an error event, and the socket stays open", async () => {
    const { url, engine } = await startServer();
    engine.refusal = new ServingError("full", { code: "queue_full", status: 429, retryAfterS: 1 });
    const socket = await openSocket(url);
    socket.create({ event_id: "e", stream_id: "lane" });
    expect(await socket.type("error")).toEqual({
      type: "error",
      status: 429,
      error: { type: "rate_limit_error", code: "queue_full", message: "full", param: null },
      event_id: "e",
      stream_id: "lane",
    });
    engine.refusal = undefined;
    socket.create({ stream_id: "lane" });
    await socket.ended();
  });
});

describe("resume", () => {
  const resume = (response_id: string, starting_after: number, stream_id?: string) => ({
    type: "mlx_serving:response.resume",
    response_id,
    starting_after,
    stream_id,
  });

  it("replays a response after every number, byte for byte, on a new socket", async () => {
    const { url } = await startServer();
    const first = await openSocket(url);
    first.create({ stream_id: "a" });
    await first.ended();
    const all = [...first.events];
    const { id } = all[0]!.response;
    const second = await openSocket(url);
    for (let after = -1; after < all.length - 1; after++) {
      second.events.length = 0;
      second.send(resume(id, after, "a"));
      await second.ended();
      expect(second.events).toEqual(all.slice(after + 1));
    }
  });

  it("follows a response that is still running, also one that lost its socket", async () => {
    const { url, engine } = await startServer();
    engine.script = hold;
    const first = await openSocket(url);
    first.create({ store: false });
    const { response } = await first.type("response.created");
    const [run] = engine.runs;
    run!.emit("one ");
    await first.type("response.output_text.delta");
    first.ws.terminate();
    await eventually(() => run!.log.readers === 0);
    run!.emit("two ");
    const second = await openSocket(url);
    second.send(resume(response.id, 5));
    await second.type("response.output_text.delta");
    run!.emit("three");
    run!.end({ kind: "stop" });
    await second.ended();
    expect(second.events[0]!.sequence_number).toBe(6);
    expect(second.events.map(({ delta }) => delta ?? "").join("")).toBe("two three");
  });

  it("takes its turn in its lane, and holds the response while it waits", async () => {
    const { url, engine } = await startServer({ resumeGraceMs: 30 });
    engine.script = hold;
    const first = await openSocket(url);
    first.create({ store: false });
    const { response } = await first.type("response.created");
    const second = await openSocket(url);
    second.create({ stream_id: "a" });
    await second.type("response.created");
    second.send(resume(response.id, -1, "a"));
    await eventually(() => engine.runs[0]!.log.readers === 2);
    first.ws.terminate();
    await eventually(() => engine.runs[0]!.log.readers === 1);
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(engine.runs[0]!.log.ending).toBeUndefined();
    engine.runs[1]!.end({ kind: "stop" });
    engine.runs[0]!.end({ kind: "stop" });
    await second.ended(2);
  });

  it("has clear errors for a number that is not there yet and a response that isn't", async () => {
    const { url } = await startServer();
    const socket = await openSocket(url);
    socket.create();
    const { response } = await socket.ended();
    const length = socket.events.length;
    socket.send(resume(response.id, length));
    expect(await socket.type("error")).toMatchObject({
      status: 400,
      error: { code: "invalid_cursor", param: "starting_after" },
    });
    socket.send(resume("resp_unknown", -1));
    expect(await socket.type("error", 2)).toMatchObject({
      status: 404,
      error: { code: "response_not_found", param: "response_id" },
    });
  });

  it("after the last event says it again and frees its lane", async () => {
    const { url } = await startServer();
    const socket = await openSocket(url);
    socket.create();
    const last = await socket.ended();
    socket.events.length = 0;
    socket.send(resume(last.response.id, last.sequence_number));
    expect(await socket.ended()).toEqual(last);
    socket.create();
    await socket.ended(2);
  });
});

describe("notices", () => {
  it("go only to those who asked, repeat the number before them and take none", async () => {
    const { url, engine } = await startServer();
    engine.script = hold;
    const strict = await openSocket(url);
    const curious = await openSocket(url, { query: "?events=mlx_serving" });
    strict.create();
    await strict.type("response.in_progress");
    curious.create({ stream_id: "a" });
    await curious.type("response.in_progress");
    for (const run of engine.runs) {
      engine.migrate(run, 2);
      run.emit("text");
    }
    const notice = await curious.type("mlx_serving:response.migrated");
    expect(notice).toEqual({
      type: "mlx_serving:response.migrated",
      response_id: engine.runs[1]!.log.id,
      attempt: 2,
      reason: "workerLost",
      sequence_number: 2,
      stream_id: "a",
    });
    const draining = engine.drain(5_000);
    expect(await curious.type("mlx_serving:server.draining")).toMatchObject({ grace_ms: 5_000 });
    for (const run of engine.runs) run.end({ kind: "stop" });
    await draining;
    await Promise.all([strict.closed, curious.closed]);
    expect(strict.events.some(({ type }) => type.startsWith("mlx_serving:"))).toBe(false);
    const numbers = curious.events
      .filter(({ type }) => !type.startsWith("mlx_serving:"))
      .map((event) => event.sequence_number as number);
    expect(numbers).toEqual(numbers.map((_, index) => index));
  });
});
