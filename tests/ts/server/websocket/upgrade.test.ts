/** What comes before the 101, on raw connections: who is a WebSocket client, and who only asks for something else. */
import { createServer, get } from "node:http";
import { describe, expect, it } from "vitest";
import { eventually, rawConnection, startServer } from "../../support/test-server.js";
import { openSocket, refusedUpgrade } from "../../support/test-socket.js";

const key = "dGhlIHNhbXBsZSBub25jZQ==";

/** Lines of a handshake; undefined leaves a header out. */
function handshake(port: number, changes: Record<string, string | undefined> = {}): string {
  const headers = {
    Host: `127.0.0.1:${port}`,
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": key,
    ...changes,
  };
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}`],
  );
  return ["GET /v1/responses HTTP/1.1", ...lines, "", ""].join("\r\n");
}

async function answerTo(port: number, request: string): Promise<string> {
  const { socket, ended } = await rawConnection(port);
  socket.write(request);
  return ended;
}

describe("a handshake", () => {
  it.each<[string, Record<string, string | undefined>, string]>([
    ["of another version", { "Sec-WebSocket-Version": "12" }, "426 Upgrade Required"],
    ["of a later version", { "Sec-WebSocket-Version": "14" }, "426 Upgrade Required"],
    ["of no version", { "Sec-WebSocket-Version": undefined }, "426 Upgrade Required"],
    ["for a subprotocol", { "Sec-WebSocket-Protocol": "realtime" }, "426 Upgrade Required"],
    ["for two of them", { "Sec-WebSocket-Protocol": "mqtt, graphql-ws" }, "426 Upgrade Required"],
    ["without a key", { "Sec-WebSocket-Key": undefined }, "400 Bad Request"],
    ["with a key that is none", { "Sec-WebSocket-Key": "abc" }, "400 Bad Request"],
    ["with a key of 15 bytes", { "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAA" }, "400 Bad Request"],
  ])("%s is refused", async (_name, changes, status) => {
    const { port } = await startServer();
    const answer = await answerTo(port, handshake(port, changes));
    expect(answer).toContain(`HTTP/1.1 ${status}`);
    const body = JSON.parse(answer.slice(answer.indexOf("\r\n\r\n"))) as { error: object };
    const code = status.startsWith("426") ? "upgrade_required" : "invalid_upgrade";
    expect(body.error).toMatchObject({ type: "invalid_request_error", code });
    if (!status.startsWith("426")) return;
    // RFC 9110, 15.5.22 and RFC 6455, 4.2.2.
    expect(answer.toLowerCase()).toContain("upgrade: websocket\r\n");
    expect(answer).toContain("sec-websocket-version: 13\r\n");
  });

  it("with a wrong key of ours is 401 whatever else is wrong with it", async () => {
    const { url, port } = await startServer({ apiKeys: ["good"] });
    const headers = { authorization: "Bearer bad" };
    expect((await refusedUpgrade(url, { headers })).status).toBe(401);
    const old = handshake(port, { "Sec-WebSocket-Version": "12", Authorization: "Bearer bad" });
    expect(await answerTo(port, old)).toContain("HTTP/1.1 401 Unauthorized");
  });

  it("is one beside other wishes, in any case", async () => {
    const { port } = await startServer();
    for (const Upgrade of ["WebSocket", "h2c, websocket", "websocket , foo"]) {
      const { socket, ended } = await rawConnection(port);
      let received = "";
      socket.on("data", (chunk) => {
        received += chunk.toString("latin1");
      });
      socket.write(handshake(port, { Upgrade }));
      await eventually(() => received.includes("\r\n\r\n"));
      expect(received).toContain("HTTP/1.1 101 Switching Protocols");
      socket.destroy();
      await ended;
    }
  });

  it("without its upgrade is 426, with and without keys", async () => {
    for (const apiKeys of [[], ["good"]]) {
      const server = await startServer({ apiKeys });
      const headers = { authorization: "Bearer good" };
      const answer = await server.get("/v1/responses", { headers });
      expect([answer.status, answer.headers.get("upgrade")]).toEqual([426, "websocket"]);
    }
  });
});

describe("who asks for another protocol", () => {
  const body = JSON.stringify({ input: "hi", max_output_tokens: 5 });

  /** As Java's client writes it. */
  function wishing(port: number, start: string, more: string[] = [], upgrade = "h2c"): string {
    return [
      `${start} HTTP/1.1`,
      `Host: 127.0.0.1:${port}`,
      "Connection: Upgrade, HTTP2-Settings",
      `Upgrade: ${upgrade}`,
      "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
      ...more,
      "",
      "",
    ].join("\r\n");
  }
  const posting = (port: number, length = Buffer.byteLength(body)) =>
    wishing(port, "POST /v1/responses", [
      "Content-Type: application/json",
      `Content-Length: ${length}`,
    ]);

  it("is served as if it had not asked, body and all", async () => {
    const { port, engine } = await startServer();
    const { socket, ended } = await rawConnection(port);
    let received = "";
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
    });
    const answers = () => received.split("HTTP/1.1 200 OK").length - 1;
    // Head and body together, in pieces, and again on the same connection.
    socket.write(posting(port) + body);
    await eventually(() => answers() === 1);
    const whole = posting(port) + body;
    for (const piece of [whole.slice(0, 40), whole.slice(40, -10), whole.slice(-10)]) {
      socket.write(piece);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await eventually(() => answers() === 2);
    socket.write(wishing(port, "GET /v1/models"));
    await eventually(() => answers() === 3);
    expect(engine.submissions).toHaveLength(2);
    expect(received).toContain('"output_text"');
    socket.end();
    await ended;
  });

  it("may send its body in chunks, and the next request right behind it", async () => {
    const { port, engine } = await startServer();
    const { socket, ended } = await rawConnection(port);
    const chunked = wishing(port, "POST /v1/responses", [
      "Content-Type: application/json",
      "Transfer-Encoding: chunked",
    ]);
    const chunks = [body.slice(0, 7), body.slice(7)];
    const sent = chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("");
    const last = wishing(port, "GET /health").replace("Connection: ", "Connection: close, ");
    socket.write(`${chunked}${sent}0\r\n\r\n${posting(port)}${body}${last}`);
    const received = await ended;
    expect(received.split("HTTP/1.1 200 OK")).toHaveLength(4);
    expect(received.split('"object":"response"')).toHaveLength(3);
    expect(received).toContain('{"status":"ok"}');
    expect(engine.submissions).toHaveLength(2);
  });

  it("may do so a hundred times on one connection", async () => {
    const { port } = await startServer();
    const warnings: string[] = [];
    const onWarning = ({ message }: Error) => warnings.push(message);
    process.on("warning", onWarning);
    const { socket, ended } = await rawConnection(port);
    let received = "";
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
    });
    for (let i = 1; i <= 100; i++) {
      socket.write(wishing(port, "GET /health"));
      await eventually(() => received.split('{"status":"ok"}').length - 1 === i);
    }
    socket.end();
    await ended;
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
  });

  it("meets the same checks, limits and errors as everybody", async () => {
    const { port } = await startServer({ apiKeys: ["good"], limits: { bodyBytesMax: 100 } });
    const closing = (request: string) =>
      request.replace("Connection: Upgrade", "Connection: close, Upgrade");
    expect(await answerTo(port, closing(wishing(port, "GET /v1/models")))).toContain("401");
    const evil = wishing(port, "GET /v1/models").replace("127.0.0.1", "evil.example");
    expect(await answerTo(port, closing(evil))).toContain("403");
    expect(await answerTo(port, closing(posting(port, 1000)))).toContain("401");
    const keyed = wishing(port, "GET /v1/responses", ["Authorization: Bearer good"]);
    expect(await answerTo(port, closing(keyed))).toContain("426");
    const websocket = wishing(port, "POST /v1/responses", [], "websocket");
    expect(await answerTo(port, closing(websocket))).toContain("401");
  });

  it("is answered like Node's own server would, with no upgrade to offer", async () => {
    const { url, port } = await startServer();
    const plain = createServer((_request, response) => response.end("plain"));
    await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
    const headers = { connection: "Upgrade", upgrade: "h2c" };
    const status = (at: string) =>
      new Promise<number>((resolve, reject) => {
        get(at, { headers, agent: false }, (response) => {
          response.resume();
          resolve(response.statusCode!);
        }).on("error", reject);
      });
    const { port: plainPort } = plain.address() as { port: number };
    expect(await status(`http://127.0.0.1:${plainPort}/`)).toBe(200);
    expect(await status(`http://127.0.0.1:${port}/health`)).toBe(200);
    plain.close();
    const socket = await openSocket(url);
    socket.create();
    await socket.ended();
  });
});
