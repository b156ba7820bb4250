import type { Duplex } from "node:stream";
import { describe, expect, it } from "vitest";
import { limits } from "../../../../src-ts/protocol/index.js";
import { BodyBudget } from "../../../../src-ts/server/bodies/budget.js";
import { hold } from "../../support/scripted-engine.js";
import { eventually, pass, rawConnection, startServer } from "../../support/test-server.js";
import { openSocket } from "../../support/test-socket.js";

const KiB = 1024;

describe("leases", () => {
  const shares = { bodiesBytesMax: 100, bodiesBytesPerClientMax: 60 };

  it("count by client and in all, and give everything back", () => {
    const bodies = new BodyBudget(shares);
    const [a, b, c] = ["a", "a", "b"].map((client) => bodies.lease(client));
    a!.hold(40);
    expect(() => b!.hold(21)).toThrow(/This client's requests/);
    b!.hold(20);
    c!.hold(40);
    expect(() => c!.hold(41)).toThrow(/All requests/);
    expect([a!.bytes, b!.bytes, c!.bytes, bodies.bytes]).toEqual([40, 20, 40, 100]);
    for (const lease of [a, b, c, a]) lease!.release();
    expect(bodies.bytes).toBe(0);
    a!.hold(60);
    expect(bodies.bytes).toBe(60);
  });

  it("say who is to wait, and for how long", () => {
    const bodies = new BodyBudget(shares);
    expect(() => bodies.lease("a").hold(61)).toThrow(
      expect.objectContaining({ status: 429, code: "too_many_bytes", retryAfterS: 1 }),
    );
    bodies.lease("a").hold(60);
    expect(() => bodies.lease("b").hold(41)).toThrow(
      expect.objectContaining({ status: 503, code: "too_many_bytes", retryAfterS: 1 }),
    );
  });

  it("may shrink where there is no room left", () => {
    const bodies = new BodyBudget(shares);
    const lease = bodies.lease("a");
    lease.hold(60);
    lease.hold(10);
    expect(bodies.bytes).toBe(10);
  });
});

/** Room for one large body of a client, and nothing large beside it. */
const narrow = {
  limits: { bodiesBytesMax: 1000 * KiB, bodiesBytesPerClientMax: 500 * KiB },
};
const text = "x".repeat(300 * KiB);
const small = { input: "hi" };
const bodies = [
  ["/v1/chat/completions", { messages: [{ role: "user", content: text }] }],
  ["/v1/completions", { prompt: text }],
  ["/v1/responses", { input: text }],
] as const;

/** The next prompts wait for a worker until the test lets them go. */
function held(engine: { preparing: Promise<void> | undefined }): () => void {
  let release = () => {};
  engine.preparing = new Promise((resolve) => {
    release = resolve;
  });
  return () => {
    engine.preparing = undefined;
    release();
  };
}

describe("over HTTP", () => {
  it.each(bodies)("%s: what is not a prompt yet leaves no room for more", async (path, body) => {
    const { post, engine } = await startServer(narrow);
    const release = held(engine);
    const first = post(path, body);
    await eventually(() => engine.submissions.length === 1);
    const refused = await post(path, body);
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(await refused.json()).toMatchObject({ error: { code: "too_many_bytes" } });
    release();
    expect((await first).status).toBe(200);
    expect((await post(path, body)).status).toBe(200);
  });

  it.each(bodies)("%s: a stream that has begun holds nothing", async (path, body) => {
    const { post, engine } = await startServer(narrow);
    engine.script = hold;
    for (let i = 0; i < 4; i++) void post(path, { ...body, stream: true }).catch(() => {});
    await eventually(() => engine.runs.length >= 1);
    const answer = post(path, { ...body, stream: true, user: "last" }).catch(() => undefined);
    await eventually(() => engine.runs.length >= 2);
    void answer;
  });

  it("small requests go on beside a large one", async () => {
    const { post, engine } = await startServer(narrow);
    const release = held(engine);
    const large = post("/v1/responses", { input: text });
    await eventually(() => engine.submissions.length === 1);
    engine.preparing = undefined;
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => post("/v1/responses", small)),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    release();
    expect((await large).status).toBe(200);
  });

  it("one key can't take the share of another", async () => {
    const { post, engine } = await startServer({ ...narrow, apiKeys: ["a", "b", "c"] });
    const release = held(engine);
    const as = (key: string) =>
      post("/v1/responses", { input: text }, { headers: { authorization: `Bearer ${key}` } });
    const first = as("a");
    await eventually(() => engine.submissions.length === 1);
    expect((await as("a")).status).toBe(429);
    const second = as("b");
    await eventually(() => engine.submissions.length === 2);
    const third = as("c");
    await eventually(() => engine.submissions.length === 3);
    release();
    for (const answer of await Promise.all([first, second, third])) expect(answer.status).toBe(200);
  });

  it.each([
    ["refused", { input: text, temperature: 9 }, 400],
    ["not JSON", `{"input": "${text}`, 400],
    ["of no route", { input: text }, 404],
  ])("a body that is %s holds nothing afterwards", async (_name, body, status) => {
    const { post } = await startServer(narrow);
    const path = status === 404 ? "/v1/nothing" : "/v1/responses";
    for (let i = 0; i < 4; i++) expect((await post(path, body)).status).toBe(status);
    expect((await post("/v1/responses", { input: text })).status).toBe(200);
  });

  it("one that is broken off holds nothing afterwards", async () => {
    const { post, port } = await startServer(narrow);
    for (let i = 0; i < 4; i++) {
      const { socket, ended } = await rawConnection(port);
      socket.write(
        `POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\ncontent-length: 400000\r\n\r\n{"input": "${text}`,
      );
      await new Promise((resolve) => setTimeout(resolve, 20));
      socket.destroy();
      await ended;
    }
    let status = 0;
    while (status !== 200) ({ status } = await post("/v1/responses", { input: text }));
  });

  it("counts what has arrived, not what is announced", async () => {
    const { post, port } = await startServer(narrow);
    for (let i = 0; i < 8; i++) {
      const { socket } = await rawConnection(port);
      socket.write(
        `POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\ncontent-length: 30000000\r\n\r\n{`,
      );
    }
    expect((await post("/v1/responses", { input: text })).status).toBe(200);
  });

  it("counts bodies without a length while they arrive", async () => {
    const { port } = await startServer(narrow);
    const { socket, ended } = await rawConnection(port);
    socket.write(
      `POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n`,
    );
    for (let i = 0; i < 6; i++)
      socket.write(`${(100 * KiB).toString(16)}\r\n${"x".repeat(100 * KiB)}\r\n`);
    socket.write("0\r\n\r\n");
    expect(await ended).toMatch(/^HTTP\/1\.1 429/);
  });

  it.each([
    ["413", "too long by its length", 40 * KiB * KiB, 413],
    ["429", "too much beside others", 30 * KiB * KiB, 429],
  ])("%s comes to a client that sends all of a body %s", async (_status, _why, length, status) => {
    const { port } = await startServer(narrow);
    for (let i = 0; i < 3; i++) {
      const { socket, ended } = await rawConnection(port);
      socket.pause();
      socket.write(
        `POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`,
      );
      const sent = new Promise<void>((resolve) =>
        socket.write("x".repeat(length), () => resolve()),
      );
      await sent;
      socket.write(`GET /health HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nconnection: close\r\n\r\n`);
      socket.resume();
      const answers = await ended;
      expect(answers).toMatch(new RegExp(`^HTTP/1\\.1 ${status}`));
      expect(answers).toContain('{"status":"ok"}');
    }
  });

  it("of a refused body no more is read than a bound", async () => {
    const { port } = await startServer(narrow);
    const { socket, ended } = await rawConnection(port);
    socket.write(
      `POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n`,
    );
    const part = `${(1024 * KiB).toString(16)}\r\n${"x".repeat(1024 * KiB)}\r\n`;
    const more = () => {
      while (!socket.destroyed && socket.write(part));
    };
    socket.on("drain", more);
    more();
    expect(await ended).toMatch(/^HTTP\/1\.1 429/);
    expect(socket.bytesWritten).toBeGreaterThan(limits.refusedBytesMax);
  });

  it("counts a prompt once for each choice, and says where that can never fit", async () => {
    const { post } = await startServer(narrow);
    const messages = [{ role: "user", content: "x".repeat(100 * KiB) }];
    expect((await post("/v1/chat/completions", { messages, n: 4 })).status).toBe(200);
    const refused = await post("/v1/chat/completions", { messages, n: 16 });
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ error: { param: "n" } });
    expect((await post("/v1/chat/completions", { messages, n: 4 })).status).toBe(200);
  });
});

describe("over WebSocket", () => {
  const input = "x".repeat(60 * KiB);

  /** Its first response runs until it is ended; what it asks for next waits in its lane. */
  async function heldSocket() {
    const server = await startServer(narrow);
    server.engine.script = hold;
    const socket = await openSocket(server.url);
    socket.create(small);
    await socket.type("response.in_progress");
    return { ...server, socket };
  }

  /** One after another, as they come out of their lane. */
  async function endAll(count: number, { engine, socket }: Awaited<ReturnType<typeof heldSocket>>) {
    for (let i = 0; i < count; i++) {
      await eventually(() => engine.runs.length > i);
      engine.runs[i]!.end({ kind: "stop" });
    }
    await socket.ended(count);
  }

  it("messages that wait in a lane hold their bytes; the socket stays open", async () => {
    const held = await heldSocket();
    const { engine, socket } = held;
    for (let i = 0; i < 9; i++) socket.create({ input, event_id: `${i}` });
    expect(await socket.type("error")).toMatchObject({
      status: 429,
      error: { code: "too_many_bytes" },
    });
    await endAll(9, held);
    socket.create({ input: text });
    await eventually(() => engine.runs.length === 10);
    expect(socket.close).toBeUndefined();
    expect(socket.events.filter(({ type }) => type === "error")).toHaveLength(1);
  });

  it("the bytes of one message are not those of the one before, whichever chunks they come in", async () => {
    const held = await heldSocket();
    const { socket } = held;
    for (let i = 0; i < 7; i++) socket.create({ input });
    const eighth = JSON.stringify({ type: "response.create", input });
    socket.ws.send(eighth.slice(0, 30 * KiB), { fin: false });
    await pass(50);
    const { _socket: stream } = socket.ws as unknown as { _socket: Duplex };
    stream.cork();
    socket.ws.send(eighth.slice(30 * KiB));
    socket.create({ input });
    stream.uncork();
    expect(await socket.type("error")).toMatchObject({ status: 429 });
    await endAll(9, held);
    expect(socket.close).toBeUndefined();
  });

  it("one that goes gives back what waited and what had arrived", async () => {
    const { engine, post, socket } = await heldSocket();
    socket.create({ input: text });
    socket.ws.send(text.slice(0, 100 * KiB), { fin: false });
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.ws.terminate();
    engine.script = (run) => run.end({ kind: "stop" });
    let status = 0;
    while (status !== 200) ({ status } = await post("/v1/responses", { input: text }));
  });

  it("a message that arrives without end is refused with 1013 when there is no room", async () => {
    const { url, post } = await startServer(narrow);
    const socket = await openSocket(url);
    const part = "x".repeat(50 * KiB);
    for (let i = 0; i < 12; i++) socket.ws.send(part, { fin: false });
    expect(await socket.closed).toMatchObject({ code: 1013 });
    expect(socket.events.at(-1)).toMatchObject({
      type: "error",
      status: 429,
      error: { code: "too_many_bytes" },
    });
    let status = 0;
    while (status !== 200) ({ status } = await post("/v1/responses", { input: text }));
  });

  it("many slow senders together stay within the bound, and nobody else notices", async () => {
    const { url, post } = await startServer({ ...narrow, apiKeys: ["slow", "other"] });
    const as = (key: string) => ({ authorization: `Bearer ${key}` });
    const sockets = await Promise.all(
      Array.from({ length: 20 }, () => openSocket(url, { headers: as("slow") })),
    );
    for (const { ws } of sockets) ws.send("x".repeat(200 * KiB), { fin: false });
    await eventually(() => sockets.filter(({ close }) => close?.code === 1013).length >= 18);
    expect((await post("/v1/responses", { input: text }, { headers: as("other") })).status).toBe(
      200,
    );
    for (const { ws } of sockets) ws.terminate();
  });

  it("pings between the parts of a message count for nothing", async () => {
    const { url } = await startServer(narrow);
    const socket = await openSocket(url);
    const parts = JSON.stringify({ type: "response.create", input: text }).match(/.{1,4096}/g)!;
    for (const [i, part] of parts.entries()) {
      socket.ws.send(part, { fin: i === parts.length - 1 });
      socket.ws.ping("x".repeat(125));
    }
    await socket.ended();
  });

  it("many short messages leave nothing behind", async () => {
    const { url } = await startServer(narrow);
    const socket = await openSocket(url);
    for (let i = 0; i < 300; i++) {
      socket.create({ input: "x".repeat(2000) });
      await socket.ended(i + 1);
    }
    expect(socket.close).toBeUndefined();
  });
});

describe("the longest body", () => {
  const input = "x".repeat(limits.bodyBytesMax - 100);

  it("is taken over HTTP", async () => {
    const { post, engine } = await startServer();
    expect((await post("/v1/responses", { input, max_output_tokens: 1 })).status).toBe(200);
    expect(engine.submissions).toHaveLength(1);
    expect((await post("/v1/responses", { input: `${input}${"x".repeat(100)}` })).status).toBe(413);
  });

  it("is taken over WebSocket, in however many chunks it comes", async () => {
    const { url } = await startServer();
    const socket = await openSocket(url);
    socket.create({ input });
    await socket.ended();
    socket.create({ input: `${input}${"x".repeat(100)}` });
    expect(await socket.closed).toMatchObject({ code: 1009 });
  });

  it("may hold a million values and no more, in all three APIs", async () => {
    const { post } = await startServer();
    const padding = (values: number) => Array.from({ length: values }, () => 0);
    for (const [path, body] of [
      ["/v1/responses", small],
      ["/v1/completions", { prompt: "x" }],
      ["/v1/chat/completions", { messages: [{ role: "user", content: "x" }] }],
    ] as const) {
      expect((await post(path, { ...body, padding: padding(999_000) })).status).toBe(200);
      const refused = await post(path, { ...body, padding: padding(1_000_001) });
      expect(refused.status).toBe(400);
      expect(await refused.json()).toMatchObject({ error: { code: "invalid_json" } });
    }
  });

  it("may hold 16,384 messages and no more", async () => {
    const { post } = await startServer();
    const messages = (count: number) =>
      Array.from({ length: count }, () => ({ role: "user", content: "x" }));
    for (const [path, field] of [
      ["/v1/chat/completions", "messages"],
      ["/v1/responses", "input"],
    ] as const) {
      expect((await post(path, { [field]: messages(16_384) })).status).toBe(200);
      const refused = await post(path, { [field]: messages(16_385) });
      expect(await refused.json()).toMatchObject({
        error: { param: field, message: `${field} must have at most 16,384 elements.` },
      });
    }
  });
});
