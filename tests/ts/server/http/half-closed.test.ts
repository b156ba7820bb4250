/** Clients that end their side: one still reads and gets its answer, another has gone and is found out. */
import { describe, expect, it } from "vitest";
import { ServingError } from "../../../../src-ts/errors.js";
import { hello, helloParts, hold, say } from "../../support/scripted-engine.js";
import {
  eventually,
  parseSse,
  pass,
  rawConnection,
  startServer,
} from "../../support/test-server.js";

const post = (port: number, path: string, body: object, version = "1.1") => {
  const text = JSON.stringify(body);
  const head = `POST ${path} HTTP/${version}\r\nHost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\n`;
  return `${head}content-length: ${text.length}\r\n\r\n${text}`;
};
const get = (port: number, path: string) =>
  `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`;

const messages = [{ role: "user", content: "hi" }];
const asked: [string, string, object][] = [
  ["a chat", "/v1/chat/completions", { messages }],
  ["a streamed chat", "/v1/chat/completions", { messages, stream: true }],
  ["a completion", "/v1/completions", { prompt: "hi" }],
  ["a streamed completion", "/v1/completions", { prompt: "hi", stream: true }],
  ["a response", "/v1/responses", { input: "hi" }],
  ["a streamed response", "/v1/responses", { input: "hi", stream: true }],
];

/** The answers, in pieces of a chunked body where it is one. */
function bodyOf(received: string): string {
  const [head, ...rest] = received.split("\r\n\r\n");
  const body = rest.join("\r\n\r\n");
  if (!/^transfer-encoding: chunked/im.test(head!)) return body;
  return body.replace(/(^|\r\n)[0-9a-f]+\r\n/g, "").replace(/\r\n$/, "");
}

const utf8 = (latin1: string) => Buffer.from(latin1, "latin1").toString();

/** Longer than the first probes take. */
const whileMs = 400;

describe("a request whose sender reads on after its end", () => {
  it.each(asked)("is answered: %s", async (_what, path, body) => {
    const { port, engine, faults } = await startServer();
    engine.script = hold;
    const { socket, ended } = await rawConnection(port);
    socket.end(post(port, path, body));
    await eventually(() => engine.runs.length === 1);
    await pass(whileMs);
    const [run] = engine.runs;
    for (const part of helloParts) run!.emit(part);
    run!.end({ kind: "stop" });
    const received = utf8(await ended);
    expect(received).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    const answer = bodyOf(received);
    if ("stream" in body) {
      const { events } = parseSse(answer);
      expect(events.at(-1)!.data).toMatch(/^\[DONE\]$|response\.completed/);
      expect(answer).toContain("wörld");
    } else expect(JSON.stringify(JSON.parse(answer))).toContain(JSON.stringify(hello).slice(1, -1));
    expect(faults).toEqual([]);
  });

  it.each([0, 5, 30, 100])("is answered whole when that takes %i ms", async (ms) => {
    const { port, engine } = await startServer();
    engine.script = (run) => void pass(ms).then(() => say(helloParts)(run));
    const { socket, ended } = await rawConnection(port);
    socket.end(post(port, "/v1/chat/completions", { messages }));
    const received = utf8(await ended);
    expect(received.startsWith("HTTP/1.1 200 OK\r\n")).toBe(true);
    const { length } = Buffer.from(bodyOf(received));
    expect(received).toContain(`content-length: ${length}\r\n`);
  });

  it("is answered when it is wrong, and when that takes a while", async () => {
    const { port, engine } = await startServer();
    engine.preparing = pass(whileMs);
    engine.refusal = new ServingError("no", { code: "queue_full", status: 429 });
    const wrong = await rawConnection(port);
    wrong.socket.end(post(port, "/v1/responses", { input: 5 }));
    expect(await wrong.ended).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    for (const stream of [true, false]) {
      const full = await rawConnection(port);
      full.socket.end(post(port, "/v1/responses", { input: "hi", stream }));
      expect(await full.ended).toMatch(/^HTTP\/1\.1 429 Too Many Requests\r\n/);
    }
  });

  it("is answered in the old version too, and so is a second request behind it", async () => {
    const { port } = await startServer();
    const old = await rawConnection(port);
    old.socket.end(post(port, "/v1/chat/completions", { messages }, "1.0"));
    expect(await old.ended).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    const two = await rawConnection(port);
    two.socket.end(post(port, "/v1/responses", { input: "hi" }) + get(port, "/health"));
    const received = await two.ended;
    expect(received.match(/HTTP\/1\.1 200 OK\r\n/g)).toHaveLength(2);
    expect(received).toMatch(/\{"status":"ok"\}$/);
  });

  it("is told of a response that it follows, and of one that it cancels", async () => {
    const { port, engine, ...server } = await startServer();
    engine.script = hold;
    const running = server.post("/v1/responses", { input: "hi" });
    await eventually(() => engine.runs.length === 1);
    const { log } = engine.runs[0]!;
    const follower = await rawConnection(port);
    follower.socket.end(get(port, `/v1/responses/${log.id}?stream=true`));
    const canceller = await rawConnection(port);
    await eventually(() => log.entries.length > 1);
    canceller.socket.end(post(port, `/v1/responses/${log.id}/cancel`, {}));
    expect(await canceller.ended).toContain('"status":"cancelled"');
    expect(await follower.ended).toContain("response.incomplete");
    await running;
  });

  it("that is not whole is an error, at once", async () => {
    const { port } = await startServer();
    const { socket, ended } = await rawConnection(port);
    socket.end(post(port, "/v1/responses", { input: "hi" }).slice(0, -3));
    expect(await ended).toMatch(/^HTTP\/1\.1 400 /);
  });

  it("leaves a connection that has nothing to do to be closed", async () => {
    const { port } = await startServer();
    const { socket, ended } = await rawConnection(port);
    socket.write(get(port, "/health"));
    await new Promise((resolve) => socket.once("data", resolve));
    socket.end();
    expect(await ended).toContain("200 OK");
  });
});

describe("a request whose sender has gone", () => {
  it.each(asked.slice(0, 4))("is cancelled: %s", async (_what, path, body) => {
    const { port, engine, faults } = await startServer();
    engine.script = hold;
    const { socket } = await rawConnection(port);
    socket.write(post(port, path, body));
    await eventually(() => engine.runs.length === 1);
    socket.destroy();
    await eventually(() => engine.runs[0]!.log.ending !== undefined);
    expect(engine.runs[0]!.log.ending).toEqual({ kind: "cancelled" });
    expect(faults).toEqual([]);
  });

  it("is given up while it is being prepared", async () => {
    const { port, engine } = await startServer();
    let prepared = () => {};
    engine.preparing = new Promise((resolve) => {
      prepared = resolve;
    });
    const { socket } = await rawConnection(port);
    socket.write(post(port, "/v1/responses", { input: "hi" }));
    await eventually(() => engine.submissions.length === 1);
    socket.destroy();
    await eventually(() => engine.givenUp === 1);
    prepared();
  });

  it("after it had ended its side is found out too", async () => {
    const { port, engine } = await startServer();
    engine.script = hold;
    const { socket } = await rawConnection(port);
    socket.end(post(port, "/v1/chat/completions", { messages }));
    await eventually(() => engine.runs.length === 1);
    await pass(30);
    socket.destroy();
    await eventually(() => engine.runs[0]!.log.ending !== undefined);
  });
});
