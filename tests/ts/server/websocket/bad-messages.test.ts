/** Messages that are wrong: each an error event, too many of them the end of their socket. */
import { describe, expect, it } from "vitest";
import { hold } from "../../support/scripted-engine.js";
import { startServer } from "../../support/test-server.js";
import { openSocket } from "../../support/test-socket.js";

describe("bad messages", () => {
  const cases: [string, unknown, object][] = [
    ["no JSON", "{", { code: "invalid_json" }],
    [
      "no JSON at a place",
      '{"type":"response.create","input":}',
      {
        code: "invalid_json",
        message: "The text is not valid JSON: line 1, column 35: a value is expected, not “}”.",
      },
    ],
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
