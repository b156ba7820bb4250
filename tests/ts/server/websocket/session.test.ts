/** What agents' clients say on a socket beside plain questions: hints, prefills, steering, and what we don't know. */
import { describe, expect, it } from "vitest";
import { hello, hold } from "../../support/scripted-engine.js";
import { eventually, startServer } from "../../support/test-server.js";
import { isTerminal, openSocket } from "../../support/test-socket.js";

describe("response.create", () => {
  it.each<[string, object]>([
    ["stream: true", { stream: true }],
    ["stream: false", { stream: false }],
    ["stream: null", { stream: null }],
    ["stream_options", { stream: true, stream_options: { include_obfuscation: false } }],
    ["empty stream_options", { stream_options: {} }],
    ["null stream_options", { stream_options: null }],
    ["client_metadata", { client_metadata: { "x-turn": '{"id":"1"}', nested: { a: [1, null] } } }],
    ["null client_metadata", { client_metadata: null }],
    ["generate: true", { generate: true }],
    ["generate: null", { generate: null }],
    ["background: false", { background: false }],
    ["background: null", { background: null }],
    [
      "all of an agents SDK's fields",
      { include: [], tools: [], stream: true, instructions: "Be brief." },
    ],
  ])("with %s streams as always", async (_name, fields) => {
    const { url, engine } = await startServer();
    const socket = await openSocket(url);
    socket.create(fields);
    expect((await socket.ended()).type).toBe("response.completed");
    expect(socket.events.map(({ delta }) => delta ?? "").join("")).toBe(hello);
    expect(engine.submissions[0]!.maxTokens).toBeUndefined();
  });

  it("is the same to an idempotency key whatever its client notes on it", async () => {
    const { url, engine } = await startServer();
    const socket = await openSocket(url);
    const key = { "mlx_serving:idempotency_key": "once" };
    for (const fields of [{}, { stream: true, generate: true }, { client_metadata: { turn: "2" } }])
      socket.create({ ...key, ...fields });
    await socket.ended(3);
    expect(engine.submissions).toHaveLength(1);
    socket.create({ ...key, generate: false });
    expect(await socket.type("error")).toMatchObject({ status: 409 });
  });

  it("with background: true blames the field, and the socket goes on", async () => {
    const { url } = await startServer();
    const socket = await openSocket(url);
    socket.create({ background: true, event_id: "b" });
    expect(await socket.type("error")).toMatchObject({
      status: 400,
      event_id: "b",
      error: { code: "unsupported_parameter", param: "background" },
    });
    socket.create();
    await socket.ended();
  });
});

describe("generate: false", () => {
  it("asks for no token, and completes with empty output", async () => {
    const { url, engine } = await startServer();
    engine.script = (run) => {
      run.start();
      run.end({ kind: "stop" });
    };
    const socket = await openSocket(url);
    socket.create({ generate: false, max_output_tokens: 50, stream_id: "warm" });
    const { response } = await socket.ended();
    expect(engine.submissions[0]).toMatchObject({ maxTokens: 0, store: true });
    expect(socket.events.map(({ type }) => type)).toEqual([
      "response.created",
      "response.queued",
      "response.in_progress",
      "response.completed",
    ]);
    expect(response).toMatchObject({
      status: "completed",
      output: [],
      max_output_tokens: 50,
      usage: { input_tokens: 7, output_tokens: 0, total_tokens: 7 },
    });
    expect(socket.events.every(({ stream_id }) => stream_id === "warm")).toBe(true);
  });

  it("is read, resumed and found as every other response", async () => {
    const { url, engine, get } = await startServer();
    engine.script = hold;
    const first = await openSocket(url);
    first.create({ generate: false });
    const { response } = await first.type("response.in_progress");
    first.ws.terminate();
    engine.runs[0]!.end({ kind: "stop" });
    const second = await openSocket(url);
    const { id: response_id } = response;
    second.send({ type: "mlx_serving:response.resume", response_id, starting_after: -1 });
    const last = await second.ended();
    expect(second.events.map(({ sequence_number }) => sequence_number)).toEqual([0, 1, 2, 3]);
    const stored = await get(`/v1/responses/${response.id}`);
    expect(await stored.json()).toEqual(last.response);
  });

  it("that is cancelled or fails has no output either", async () => {
    const { url, engine } = await startServer();
    engine.script = hold;
    const socket = await openSocket(url);
    for (const stream_id of ["a", "b"]) socket.create({ generate: false, stream_id });
    await socket.type("response.in_progress", 2);
    const [one, two] = engine.runs;
    socket.send({ type: "response.cancel", response_id: one!.log.id });
    two!.end({ kind: "failed", code: "worker_crashed", message: "m" });
    await socket.ended(2);
    const ends = socket.events
      .filter(isTerminal)
      .map(({ type, response }) => [type, response.output]);
    expect(ends.toSorted()).toEqual([
      ["response.failed", []],
      ["response.incomplete", []],
    ]);
  });

  it("takes instructions without input, as an agent has them before its user has spoken", async () => {
    const { url, engine } = await startServer();
    const socket = await openSocket(url);
    for (const input of [[], undefined])
      socket.create({ generate: false, instructions: "You are an agent.", input });
    await socket.ended(2);
    for (const { input } of engine.submissions)
      expect(input).toEqual({
        kind: "chat",
        messages: [{ role: "system", content: "You are an agent." }],
      });
  });

  it("may come at any time, also between answers", async () => {
    const { url, engine } = await startServer();
    const socket = await openSocket(url);
    for (const generate of [true, false, undefined, false]) socket.create({ generate });
    await socket.ended(4);
    expect(engine.submissions.map(({ maxTokens }) => maxTokens)).toEqual([
      undefined,
      0,
      undefined,
      0,
    ]);
  });

  it("over HTTP is refused by name", async () => {
    const { post } = await startServer();
    const answer = await post("/v1/responses", { input: "x", generate: false });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: { param: "generate" } });
  });
});

describe("response.processed", () => {
  it("is not answered, whatever it names", async () => {
    const { url } = await startServer();
    const socket = await openSocket(url);
    socket.create();
    const { response } = await socket.ended();
    const { length } = socket.events;
    for (const response_id of [response.id, "resp_unknown"])
      socket.send({ type: "response.processed", response_id });
    socket.create();
    await socket.ended(2);
    expect(socket.events[length]!.type).toBe("response.created");
  });
});

describe("response.steer", () => {
  const steer = (previous_response_id: string, input: unknown, more: object = {}) => ({
    type: "response.steer",
    previous_response_id,
    input,
    ...more,
  });
  const inputs = [
    "Use metric units.",
    [{ type: "message", role: "user", content: "Use metric units." }],
    [{ role: "user", content: [{ type: "input_text", text: "Use metric units." }] }],
  ];

  it.each(inputs.map((input) => [input]))("gives the input back: %j", async (input) => {
    const { url, engine } = await startServer();
    engine.script = hold;
    const socket = await openSocket(url);
    socket.create({ stream_id: "lane" });
    const { response } = await socket.type("response.in_progress");
    socket.send(steer(response.id, input, { event_id: "s" }));
    expect(await socket.type("response.steer.failed")).toEqual({
      type: "response.steer.failed",
      sequence_number: 2,
      steer: { previous_response_id: response.id, input },
      error: {
        type: "invalid_request_error",
        code: "steering_not_supported",
        message: expect.stringContaining("next one"),
      },
      stream_id: "lane",
      event_id: "s",
    });
    engine.runs[0]!.end({ kind: "stop" });
    // The response knows nothing of it.
    const last = await socket.ended();
    const own = socket.events.filter(({ type }) => type !== "response.steer.failed");
    expect(own.map(({ sequence_number }) => sequence_number)).toEqual(own.map((_, i) => i));
    expect(last.type).toBe("response.completed");
  });

  it("says what else is in the way", async () => {
    const { url } = await startServer({ apiKeys: ["a", "b"] });
    const other = await openSocket(url, { headers: { authorization: "Bearer b" } });
    other.create();
    const foreign = (await other.ended()).response.id as string;
    const socket = await openSocket(url, { headers: { authorization: "Bearer a" } });
    socket.send(steer("resp_unknown", "x"));
    socket.create();
    const own = (await socket.ended()).response.id as string;
    const wrong = [undefined, null, "", [], 5, [{ role: "assistant", content: "x" }], [{}]];
    const asked: [string, unknown, string][] = [
      [foreign, "x", "response_not_found"],
      [own, "x", "response_already_completed"],
      ...wrong.map((input): [string, unknown, string] => [own, input, "invalid_input"]),
    ];
    for (const [id, input] of asked) socket.send(steer(id, input));
    await socket.type("response.steer.failed", asked.length + 1);
    const failed = socket.events.filter(({ type }) => type === "response.steer.failed");
    expect(failed.map(({ error }) => error.code)).toEqual([
      "response_not_found",
      ...asked.map(([, , code]) => code),
    ]);
    expect(failed.map(({ steer: { input } }) => input)).toEqual([
      "x",
      ...asked.map(([, input]) => input),
    ]);
    expect(failed[0]!.sequence_number).toBe(0);
  });
});

describe("a type that we don't know", () => {
  it("is an error that is not held against its client", async () => {
    const { url } = await startServer({ limits: { badMessagesMax: 3 } });
    const socket = await openSocket(url);
    for (let i = 0; i < 10; i++) socket.send({ type: "response.append", event_id: `e${i}` });
    await socket.type("error", 10);
    expect(socket.events[9]).toMatchObject({
      status: 400,
      event_id: "e9",
      error: { code: "unknown_event_type", param: "type" },
    });
    socket.create();
    await socket.ended();
  });

  it("counts as a bad message to a strict server", async () => {
    const { url } = await startServer({ strict: true, limits: { badMessagesMax: 3 } });
    const socket = await openSocket(url);
    for (const type of ["response.append", "x", ""]) socket.send({ type, event_id: "e" });
    expect(await socket.closed).toMatchObject({ code: 1008 });
    expect(socket.events).toHaveLength(3);
    expect(socket.events[0]).toMatchObject({
      status: 400,
      event_id: "e",
      error: { code: "unknown_event_type", param: "type" },
    });
  });

  it("makes no bad message good", async () => {
    const { url } = await startServer({ limits: { badMessagesMax: 3 } });
    const socket = await openSocket(url);
    for (const message of ["{", { type: "x" }, { type: 1 }, { type: "x" }, "[]"])
      socket.send(message);
    expect(await socket.closed).toMatchObject({ code: 1008 });
  });
});

describe("a response that is silent for long", () => {
  const beta = { "OpenAI-Beta": "responses_websockets=2026-02-06" };
  const isKeepAlive = ({ type }: { type?: string }) => type === "mlx_serving:keep_alive";

  it("is kept alive by messages where pings count for nothing, from its arrival to its end", async () => {
    const { url, engine } = await startServer({ limits: { pingIntervalMs: 60 } });
    engine.script = hold;
    let prepared = () => {};
    engine.preparing = new Promise((resolve) => {
      prepared = resolve;
    });
    const socket = await openSocket(url, { headers: beta });
    socket.create();
    await socket.until(isKeepAlive, 2);
    expect(socket.events.map(({ sequence_number }) => sequence_number)).toEqual([-1, -1]);
    prepared();
    await socket.type("response.in_progress");
    const before = socket.events.filter(isKeepAlive).length;
    expect((await socket.until(isKeepAlive, before + 2)).sequence_number).toBe(2);
    engine.runs[0]!.end({ kind: "stop" });
    await socket.ended();
    // The response knows nothing of it, and who has nothing to wait for hears nothing.
    const own = socket.events.filter((event) => !isKeepAlive(event));
    expect(own.map(({ sequence_number }) => sequence_number)).toEqual(own.map((_, i) => i));
    const { length } = socket.events;
    const { pings } = socket;
    await eventually(() => socket.pings >= pings + 3);
    expect(socket.events).toHaveLength(length);
  });

  it("says nothing to clients that know pings", async () => {
    const { url, engine } = await startServer({ limits: { pingIntervalMs: 60 } });
    engine.script = hold;
    for (const query of ["", "?events=mlx_serving"]) {
      const socket = await openSocket(url, { query });
      socket.create();
      await socket.type("response.in_progress");
      const { length } = socket.events;
      const { pings } = socket;
      await eventually(() => socket.pings >= pings + 3);
      expect(socket.events).toHaveLength(length);
    }
  });
});

describe("a drain", () => {
  const codes = async (beta: string | undefined) => {
    const { url, engine, server } = await startServer();
    engine.script = hold;
    const headers: Record<string, string> = beta === undefined ? {} : { "OpenAI-Beta": beta };
    const idle = await openSocket(url, { headers });
    const busy = await openSocket(url, { headers });
    busy.create();
    await busy.type("response.in_progress");
    const drained = server.drain(5_000);
    await eventually(() => engine.draining);
    engine.runs[0]!.end({ kind: "stop" });
    for (const socket of [idle, busy])
      expect(await socket.closed).toMatchObject({ code: 1012, reason: "draining" });
    await drained;
    expect(busy.events.filter(isTerminal)).toHaveLength(1);
    return [idle, busy].map(({ events }) => {
      const last = events.at(-1);
      return last?.type === "error" ? last.error.code : last?.type;
    });
  };

  it("tells those who came with the beta header to open another connection", async () => {
    const limit = "websocket_connection_limit_reached";
    for (const beta of ["responses_websockets=2026-02-06", "other=v1, responses_websockets=1"])
      expect(await codes(beta)).toEqual([limit, limit]);
  });

  it("tells the others nothing", async () => {
    for (const beta of [undefined, "responses=experimental"])
      expect(await codes(beta)).toEqual([undefined, "response.completed"]);
  });
});
