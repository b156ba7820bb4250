import { describe, expect, it } from "vitest";
import WebSocket from "ws";
import { ServingError } from "../../../../src-ts/errors.js";
import { hello, helloParts, hold, say } from "../../support/scripted-engine.js";
import { eventually, pass, startServer } from "../../support/test-server.js";
import { isTerminal, openSocket, refusedUpgrade } from "../../support/test-socket.js";

describe("before the 101", () => {
  it("asks for a key", async () => {
    const { url } = await startServer({ apiKeys: ["key"] });
    const none = await refusedUpgrade(url);
    expect(none.status).toBe(401);
    expect(none.body.error).toMatchObject({
      type: "authentication_error",
      code: "missing_api_key",
    });
    expect(none.headers["x-request-id"]).toMatch(/^req_/);
    const wrong = await refusedUpgrade(url, { headers: { authorization: "Bearer other" } });
    expect(wrong.status).toBe(401);
    const socket = await openSocket(url, { headers: { authorization: "Bearer key" } });
    socket.create();
    await socket.ended();
  });

  it("checks Host and Origin", async () => {
    const { url, port } = await startServer({ allowedOrigins: ["https://app.example"] });
    const host = await refusedUpgrade(url, { headers: { host: "evil.example" } });
    expect([host.status, host.body.error.code]).toEqual([403, "host_not_allowed"]);
    for (const origin of ["https://evil.example", "null"]) {
      const refused = await refusedUpgrade(url, { origin });
      expect([refused.status, refused.body.error.code]).toEqual([403, "origin_not_allowed"]);
    }
    for (const origin of ["https://app.example", `http://127.0.0.1:${port}`])
      await openSocket(url, { origin });
  });

  it("knows one path and two parameters, each once, and lets others be", async () => {
    const { url } = await startServer();
    const path = await refusedUpgrade(url, { path: "/v1/chat/completions" });
    expect([path.status, path.body.error.code]).toEqual([404, "unknown_route"]);
    for (const [query, param] of [
      ["?events=all", "events"],
      ["?ticket=x&ticket=x", "ticket"],
      ["?events=mlx_serving&events=mlx_serving", "events"],
    ]) {
      const refused = await refusedUpgrade(url, { path: `/v1/responses${query}` });
      expect([refused.status, refused.body.error.param]).toEqual([400, param]);
    }
    for (const query of ["?events=mlx_serving", "?model=m&api-version=2025-01-01", "/"])
      await openSocket(url, { query });
  });

  it.each([
    ["?model=m", "model"],
    ["?events=mlx_serving&api-version=2025-01-01", "api-version"],
    ["?ticket=x&Ticket=y", "Ticket"],
    ["?a%0d%0ab=1", "a??b"],
    ["?=1", ""],
    [`?${"x".repeat(500)}`, "x".repeat(64)],
  ])("a strict server refuses %s by name", async (query, param) => {
    const { url } = await startServer({ strict: true });
    const refused = await refusedUpgrade(url, { path: `/v1/responses${query}` });
    expect([refused.status, refused.body.error.code]).toEqual([400, "unknown_parameter"]);
    expect(refused.body.error.param).toBe(param);
    await openSocket(url, { query: "?events=mlx_serving" });
  });

  it("says when there are too many sockets, and has room again when one goes", async () => {
    const { url } = await startServer({ limits: { socketsMax: 1 } });
    const first = await openSocket(url);
    const refused = await refusedUpgrade(url);
    expect([refused.status, refused.body.error.code]).toEqual([503, "too_many_sockets"]);
    expect(refused.headers["retry-after"]).toBe("5");
    first.ws.close();
    await first.closed;
    await openSocket(url);
  });

  it("repeats the request's id in the 101", async () => {
    const { url } = await startServer();
    const ws = new WebSocket(`${url.replace("http", "ws")}/v1/responses`, {
      headers: { "x-request-id": "mine" },
    });
    const headers = await new Promise<Record<string, unknown>>((resolve) => {
      ws.once("upgrade", (response) => resolve(response.headers));
    });
    expect(headers["x-request-id"]).toBe("mine");
    ws.terminate();
  });
});

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
      "mlx_serving:deadline_ms": 1234,
      "mlx_serving:priority": "interactive",
      "mlx_serving:idempotency_key": "once",
    };
    // Ids correlate; they are no part of what the key stands for.
    socket.create({ ...message, stream_id: "a", event_id: "1" });
    socket.create({ ...message, stream_id: "b", event_id: "1" });
    await socket.type("response.in_progress", 2);
    expect(engine.submissions).toHaveLength(1);
    expect(engine.submissions[0]).toMatchObject({ priority: "interactive", deadlineMs: 1234 });
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

describe("bad messages", () => {
  const cases: [string, unknown, object][] = [
    ["no JSON", "{", { code: "invalid_json" }],
    ["no object", "5", { code: "unknown_event_type" }],
    ["a list", "[]", { code: "unknown_event_type" }],
    ["a type that is no string", { type: 5 }, { code: "unknown_event_type", param: "type" }],
    ["null", "null", { code: "unknown_event_type" }],
    ["no type", {}, { message: "type is required.", param: "type" }],
    ["an unknown event", { type: "session.update" }, { code: "unknown_event_type", param: "type" }],
    ["no input", { type: "response.create" }, { message: "input is required.", param: "input" }],
    ["a wrong type", { type: "response.create", input: 5 }, { param: "input" }],
    [
      "a stream of no kind",
      { type: "response.create", input: "x", stream: 1 },
      { param: "stream" },
    ],
    [
      "stream_options of no kind",
      { type: "response.create", input: "x", stream_options: true },
      { param: "stream_options" },
    ],
    [
      "background",
      { type: "response.create", input: "x", background: true },
      { code: "unsupported_parameter", param: "background" },
    ],
    [
      "no input but instructions",
      { type: "response.create", instructions: "i" },
      { message: "input is required.", param: "input" },
    ],
    [
      "an empty input",
      { type: "response.create", input: [], instructions: "i" },
      { message: "input must have at least 1 element.", param: "input" },
    ],
    ["nothing to prefill", { type: "response.create", generate: false }, { param: "input" }],
    [
      "an empty input to prefill",
      { type: "response.create", generate: false, input: [] },
      { param: "input" },
    ],
    [
      "a generate of no kind",
      { type: "response.create", input: "x", generate: "no" },
      { param: "generate" },
    ],
    ["nothing that was processed", { type: "response.processed" }, { param: "response_id" }],
    [
      "steering of nothing",
      { type: "response.steer", input: "x" },
      { param: "previous_response_id" },
    ],
    [
      "an empty lane",
      { type: "response.create", input: "x", stream_id: "" },
      { param: "stream_id" },
    ],
    [
      "a lane with spaces",
      { type: "response.create", input: "x", stream_id: "a b" },
      { param: "stream_id" },
    ],
    [
      "a deadline of 0",
      { type: "response.create", input: "x", "mlx_serving:deadline_ms": 0 },
      { param: "mlx_serving:deadline_ms" },
    ],
    [
      "a cancel of nothing",
      { type: "response.cancel" },
      { message: "response_id is required.", param: "response_id" },
    ],
    [
      "a resume from nowhere",
      { type: "mlx_serving:response.resume", response_id: "r" },
      { param: "starting_after" },
    ],
  ];

  it.each(cases)("%s is an error event; the socket stays open", async (_name, message, error) => {
    const { url } = await startServer();
    const socket = await openSocket(url);
    const whole = typeof message === "object" ? { ...message, event_id: "e1" } : message;
    socket.send(whole);
    const event = await socket.type("error");
    expect(event).toMatchObject({ status: 400, error });
    expect(event.event_id).toBe(typeof message === "object" ? "e1" : undefined);
    socket.create();
    await socket.ended();
  });

  it("a binary frame is one", async () => {
    const { url } = await startServer();
    const socket = await openSocket(url);
    socket.ws.send(Buffer.from('{"type":"response.create","input":"x"}'));
    expect(await socket.type("error")).toMatchObject({ error: { code: "invalid_message" } });
    socket.create();
    await socket.ended();
  });

  it("too many in a row close with 1008", async () => {
    const { url } = await startServer({ limits: { badMessagesMax: 3 } });
    const socket = await openSocket(url);
    for (let i = 0; i < 2; i++) socket.send("{");
    socket.create();
    await socket.ended();
    for (let i = 0; i < 3; i++) socket.send("{");
    expect(await socket.closed).toMatchObject({ code: 1008 });
  });

  it("a frame that is too large closes with 1009", async () => {
    const { url, get } = await startServer({ limits: { frameBytesMax: 1000 } });
    const socket = await openSocket(url);
    socket.create({ input: "x".repeat(1001) });
    expect(await socket.closed).toMatchObject({ code: 1009 });
    expect((await get("/health")).status).toBe(200);
  });

  it("bad UTF-8 closes with 1007", async () => {
    const { url } = await startServer();
    const socket = await openSocket(url);
    socket.ws.send(Buffer.from([0x22, 0xff, 0xfe, 0x22]), { binary: false });
    expect(await socket.closed).toMatchObject({ code: 1007 });
  });

  it("too many fragments and a frame that breaks the protocol close it; others go on", async () => {
    const { url, engine } = await startServer({ limits: { fragmentsMax: 10 } });
    engine.script = hold;
    const other = await openSocket(url);
    other.create();
    await other.type("response.in_progress");
    const fragments = await openSocket(url);
    for (let i = 0; i < 20; i++) fragments.ws.send("x", { fin: false });
    expect([1008, 1009]).toContain((await fragments.closed).code);
    const broken = await openSocket(url);
    (broken.ws as unknown as { _socket: { write(data: Buffer): void } })._socket.write(
      Buffer.from([0xff, 0xff, 0xff, 0xff]),
    );
    expect((await broken.closed).code).toBe(1002);
    engine.runs[0]!.emit("fine");
    engine.runs[0]!.end({ kind: "stop" });
    await other.ended();
  });

  it("deep JSON is refused without a stack to overflow", async () => {
    const { url } = await startServer();
    const socket = await openSocket(url);
    socket.send("[".repeat(500_000));
    expect((await socket.type("error")).error.message).toContain("64 levels");
  });
});

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

describe("a socket that goes", () => {
  it("leaves stored responses running and gives unstored ones the grace", async () => {
    const { url, engine } = await startServer({ resumeGraceMs: 50 });
    engine.script = hold;
    const socket = await openSocket(url);
    socket.create({ stream_id: "stored" });
    socket.create({ stream_id: "unstored", store: false });
    await socket.type("response.in_progress", 2);
    socket.ws.terminate();
    const [stored, unstored] = engine.runs;
    await eventually(() => unstored!.log.ending?.kind === "cancelled");
    expect(stored!.log.ending).toBeUndefined();
  });

  it("gives up what is being prepared and drops what waits", async () => {
    const { url, engine } = await startServer();
    let prepared = () => {};
    engine.preparing = new Promise((resolve) => {
      prepared = resolve;
    });
    const socket = await openSocket(url);
    for (let i = 0; i < 3; i++) socket.create();
    await eventually(() => engine.submissions.length === 1);
    socket.ws.terminate();
    await socket.closed;
    // The server has seen it go too once the socket no longer counts.
    await eventually(() => socket.ws.readyState === WebSocket.CLOSED);
    await new Promise((resolve) => setTimeout(resolve, 50));
    prepared();
    await eventually(() => engine.givenUp === 1);
    expect(engine.submissions).toHaveLength(1);
  });

  it("is dropped when it leaves two pings unanswered, and kept when it answers", async () => {
    const { url, engine } = await startServer({ limits: { pingIntervalMs: 300 } });
    engine.script = hold;
    const alive = await openSocket(url);
    const silent = await openSocket(url, { autoPong: false });
    expect((await silent.closed).code).toBe(1006);
    expect(silent.pings).toBe(2);
    await eventually(() => alive.pings >= 4);
    alive.create();
    await alive.type("response.in_progress");
  });

  it("is closed with 1008 when it floods with pings, and gets a pong otherwise", async () => {
    const { url } = await startServer({ limits: { clientPingsPerIntervalMax: 5 } });
    const socket = await openSocket(url);
    const pong = new Promise<string>((resolve) =>
      socket.ws.once("pong", (data) => resolve(String(data))),
    );
    socket.ws.ping("hey");
    expect(await pong).toBe("hey");
    for (let i = 0; i < 6; i++) socket.ws.ping();
    expect(await socket.closed).toMatchObject({ code: 1008 });
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
      reason: "worker lost",
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

describe("draining", () => {
  it("closes idle sockets at once, others when their responses have ended, all with 1012", async () => {
    const { url, engine, server } = await startServer();
    engine.script = hold;
    const idle = await openSocket(url);
    const busy = await openSocket(url);
    busy.create();
    await busy.type("response.in_progress");
    const drained = server.drain(5_000);
    expect(await idle.closed).toMatchObject({ code: 1012 });
    const refused = await refusedUpgrade(url);
    expect(refused.status).toBe(503);
    busy.create({ stream_id: "late", event_id: "late" });
    expect(await busy.type("error")).toMatchObject({ status: 503, event_id: "late" });
    engine.runs[0]!.emit("end");
    engine.runs[0]!.end({ kind: "stop" });
    expect(await busy.closed).toMatchObject({ code: 1012 });
    expect(busy.events.at(-1)!.type).toBe("response.completed");
    await drained;
    await expect(fetch(`${url}/health`)).rejects.toThrow();
  });

  it("that breaks a response off starts nothing behind it in its lane", async () => {
    const { url, engine, server } = await startServer();
    const other = await openSocket(url);
    const again = { input: "again", "mlx_serving:idempotency_key": "again" };
    other.create(again);
    await other.ended();
    engine.script = hold;
    const socket = await openSocket(url);
    socket.create({ stream_id: "a" });
    await socket.type("response.in_progress");
    socket.create({ stream_id: "a", ...again });
    // Its answer says that what was sent before has arrived.
    socket.send({ type: "unknown" });
    await socket.type("error");
    const drained = server.drain(5_000);
    await eventually(() => engine.draining);
    const { log } = engine.runs[1]!;
    log.interrupt(new ServingError("draining", { code: "server_draining", status: 503 }));
    expect(await socket.closed).toMatchObject({ code: 1012 });
    const ids = socket.events.flatMap(({ response }) => response?.id ?? []);
    expect(new Set(ids)).toEqual(new Set([log.id]));
    engine.runs[1]!.end({ kind: "stop" });
    await drained;
  });

  it("that runs out of time fails what is left, and its readers learn it", async () => {
    const { url, engine, server } = await startServer();
    engine.script = hold;
    const socket = await openSocket(url);
    socket.create();
    await socket.type("response.in_progress");
    await server.drain(20);
    expect((await socket.ended()).response.error.code).toBe("server_shutdown");
    expect(await socket.closed).toMatchObject({ code: 1012 });
  });
});

describe("a fault of ours", () => {
  it("closes this socket with 1011, is logged, and costs nobody else anything", async () => {
    const { url, engine, logs } = await startServer();
    engine.script = hold;
    const other = await openSocket(url);
    other.create();
    await other.type("response.in_progress");
    const socket = await openSocket(url);
    socket.create();
    await socket.type("response.in_progress");
    Object.defineProperty(engine.runs[1]!.log, "output", {
      get: () => {
        throw new Error("broken log");
      },
    });
    engine.runs[1]!.end({ kind: "stop" });
    expect(await socket.closed).toMatchObject({ code: 1011 });
    expect(logs.some((line) => line.includes("socket failed"))).toBe(true);
    engine.runs[0]!.end({ kind: "stop" });
    await other.ended();
  });
});

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
