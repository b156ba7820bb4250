import { request } from "node:http";
import * as zlib from "node:zlib";
import { describe, expect, it } from "vitest";
import { ErrorResponse } from "../../../../src-ts/protocol/index.js";
import { hold } from "../../support/scripted-engine.js";
import { eventually, rawConnection, startServer } from "../../support/test-server.js";

async function errorOf(answer: Response) {
  return ErrorResponse.parse(await answer.json()).error;
}

const { zstdCompressSync: zstd } = zlib as { zstdCompressSync?: (body: Buffer) => Buffer };
const { gzipSync: gzip, brotliCompressSync: br, deflateSync: deflate, deflateRawSync } = zlib;

const text = JSON.stringify({ input: "hi", max_output_tokens: 2 });
const body = Buffer.from(text);
const large = Buffer.from(JSON.stringify({ input: "x".repeat(2_000) }));

const headersFor = (encoding: string) => ({ headers: { "content-encoding": encoding } });

/** What `fetch` makes of bytes that node's types keep apart from those of the platform. */
const sent = (bytes: Uint8Array) => ({ body: new Uint8Array(bytes) });

describe("a compressed body", () => {
  const whole: [string, Buffer][] = [
    ["gzip", gzip(body)],
    ["GZip", gzip(body)],
    ["x-gzip", gzip(body)],
    ["br", br(body)],
    ["deflate", deflate(body)],
    ["deflate", deflateRawSync(body)],
    ["deflate", deflate(body, { level: 0 })],
    ["identity", body],
    ["", body],
    ["identity, gzip", gzip(body)],
    ["gzip, br", br(gzip(body))],
    ["deflate,deflate", deflate(deflate(body))],
    // The format allows several members, one after the other.
    ["gzip", Buffer.concat([gzip(body.subarray(0, 9)), gzip(body.subarray(9))])],
  ];
  it.each(whole)("of %j is read", async (encoding, bytes) => {
    const { post, engine, faults } = await startServer();
    const answer = await post("/v1/responses", "", { ...sent(bytes), ...headersFor(encoding) });
    expect(answer.status).toBe(200);
    expect(engine.submissions[0]).toMatchObject({ maxTokens: 2 });
    expect(faults).toEqual([]);
  });

  it("is read by every route that takes one, and checked as any other", async () => {
    const { post } = await startServer();
    const bodies = {
      "/v1/chat/completions": { messages: [{ role: "user", content: "hi" }] },
      "/v1/completions": { prompt: "hi" },
      "/v1/responses": { input: "hi" },
    };
    const send = (path: string, bytes: Buffer) =>
      post(path, "", { ...sent(bytes), ...headersFor("gzip") });
    for (const [path, fields] of Object.entries(bodies)) {
      expect((await send(path, gzip(JSON.stringify(fields)))).status).toBe(200);
      const lone = `{"user":"\\ud800",${JSON.stringify(fields).slice(1)}`;
      expect(await errorOf(await send(path, gzip(lone)))).toMatchObject({ param: "user" });
    }
    expect((await send("/v1/responses", gzip("{"))).status).toBe(400);
    expect((await send("/v1/responses", gzip(`\ufeff${text}`))).status).toBe(200);
  });

  const broken: [string, string, Buffer][] = [
    ["gzip", "cut short", gzip(large).subarray(0, -3)],
    ["gzip", "of a single byte", gzip(large).subarray(0, 1)],
    ["gzip", "with a wrong checksum", flipped(gzip(large), -6)],
    ["gzip", "with garbage behind it", Buffer.concat([gzip(body), Buffer.from("garbage")])],
    ["gzip", "with zeros behind it", Buffer.concat([gzip(body), Buffer.alloc(8)])],
    ["gzip", "that is none", body],
    ["gzip", "in another format", br(body)],
    ["deflate", "cut short", deflate(large).subarray(0, -3)],
    ["deflate", "with garbage behind it", Buffer.concat([deflate(body), Buffer.from("garbage")])],
    ["deflate", "that is none", Buffer.from("no deflate")],
    ["br", "cut short", br(large).subarray(0, -3)],
    ["br", "with garbage behind it", Buffer.concat([br(body), Buffer.from("garbage")])],
    ["br", "with another one behind it", Buffer.concat([br(body), br(body)])],
    ["br", "that is none", Buffer.from([0xff, 0xff, 0xff])],
    ["br, gzip", "whose inner layer is broken", gzip(br(large).subarray(0, -3))],
  ];
  it.each(broken)("of %s %s is 400", async (encoding, _what, bytes) => {
    const { post, faults } = await startServer();
    const answer = await post("/v1/responses", "", { ...sent(bytes), ...headersFor(encoding) });
    expect(answer.status).toBe(400);
    expect(await errorOf(answer)).toMatchObject({
      code: "invalid_encoding",
      param: "content-encoding",
    });
    expect(faults).toEqual([]);
  });

  function flipped(bytes: Buffer, at: number): Buffer {
    const copy = Buffer.from(bytes);
    copy[copy.length + at]! ^= 0xff;
    return copy;
  }

  it.each([
    ["gzip", gzip(body)],
    ["zstd", Buffer.from("28b52ffd2000010000", "hex")],
  ])("of %s that doesn't say so is told, and not as a fault of JSON", async (name, bytes) => {
    const { post } = await startServer();
    for (const init of [sent(bytes), { ...sent(bytes), ...headersFor("identity") }]) {
      const answer = await post("/v1/responses", "", init);
      expect(answer.status).toBe(400);
      const error = await errorOf(answer);
      expect(error).toMatchObject({ code: "invalid_encoding", param: "content-encoding" });
      expect(error.message).toContain(name);
    }
  });

  const unknown: [string, string][] = [
    ["snappy", "snappy"],
    ["Snappy", "snappy"],
    ["gzip, lz4", "lz4"],
    ["compress", "compress"],
    ["gzip;q=1", "gzip;q=1"],
    ["*", "*"],
    ...(zstd === undefined ? [["zstd", "zstd"] as [string, string]] : []),
  ];
  it.each(unknown)("of %s is 415 that names %s and what is taken", async (encoding, named) => {
    const { post, engine } = await startServer();
    const answer = await post("/v1/responses", text, headersFor(encoding));
    expect(answer.status).toBe(415);
    const accepted = answer.headers.get("accept-encoding");
    expect(accepted).toContain("gzip, br, deflate");
    const error = await errorOf(answer);
    expect(error).toMatchObject({ code: "unsupported_encoding", param: "content-encoding" });
    expect(error.message).toContain(named);
    expect(error.message).toContain(accepted);
    expect(engine.submissions).toEqual([]);
  });

  it("in more than two layers is 415", async () => {
    const { post } = await startServer();
    const bytes = gzip(gzip(gzip(body)));
    const answer = await post("/v1/responses", "", {
      ...sent(bytes),
      ...headersFor("gzip,gzip,gzip"),
    });
    expect(answer.status).toBe(415);
    expect((await errorOf(answer)).message).toContain("2");
  });

  it.runIf(zstd !== undefined)("of zstd is read, where this Node can", async () => {
    const { post } = await startServer();
    const send = (bytes: Buffer, encoding = "zstd") =>
      post("/v1/responses", "", { ...sent(bytes), ...headersFor(encoding) });
    expect((await send(zstd!(body))).status).toBe(200);
    expect((await send(gzip(zstd!(body)), "zstd, gzip")).status).toBe(200);
    expect((await send(zstd!(large).subarray(0, -3))).status).toBe(400);
    expect((await send(Buffer.concat([zstd!(body), Buffer.from("garbage")]))).status).toBe(400);
    expect((await send(body)).status).toBe(400);
  });

  const bodyBytesMax = 1_000;
  const bombs: [string, Buffer][] = [
    ["gzip", gzip(Buffer.alloc(50_000_000))],
    ["deflate", deflate(Buffer.alloc(50_000_000))],
    ["br", br(Buffer.alloc(50_000_000))],
    ["gzip", gzip(large)],
    ["gzip", Buffer.concat(Array.from({ length: 30 }, () => gzip(Buffer.alloc(40))))],
    ["gzip, gzip", gzip(gzip(Buffer.alloc(500_000)))],
    // Small in the middle, large in the end: each layer has the limit.
    ["gzip, br", br(gzip(large))],
    ["identity", large],
  ];
  it.each(bombs)("of %s that grows past the limit is 413", async (encoding, bytes) => {
    const { post, engine } = await startServer({ limits: { bodyBytesMax } });
    const bomb = bytes.length <= bodyBytesMax || encoding === "identity" ? bytes : gzip(bytes);
    const name = bomb === bytes ? encoding : `${encoding}, gzip`;
    const answer = await post("/v1/responses", "", { ...sent(bomb), ...headersFor(name) });
    expect(answer.status).toBe(413);
    expect(await errorOf(answer)).toMatchObject({ code: "request_too_large" });
    expect(engine.submissions).toEqual([]);
  });

  it("may be as large as a plain one, to the byte", async () => {
    const { post } = await startServer({ limits: { bodyBytesMax: large.length } });
    const send = (bytes: Buffer) =>
      post("/v1/responses", "", { ...sent(gzip(bytes)), ...headersFor("gzip") });
    expect((await send(large)).status).toBe(200);
    expect((await send(Buffer.concat([large, Buffer.from(" ")]))).status).toBe(413);
  });

  it("is one of many at once, and all are answered", async () => {
    const { post, engine } = await startServer();
    const answers = Array.from({ length: 40 }, (_, i) => {
      const bytes = i % 4 === 0 ? gzip(large).subarray(0, -1) : gzip(large);
      return post("/v1/responses", "", { ...sent(bytes), ...headersFor("gzip") });
    });
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    expect(statuses).toEqual(statuses.map((_, i) => (i % 4 === 0 ? 400 : 200)));
    expect(engine.submissions).toHaveLength(30);
  });
});

describe("an empty body", () => {
  const json = { "content-type": "application/json" };

  it.each([
    ["no header", {}],
    ["a JSON type", json],
    ["a JSON type with a charset", { "content-type": "application/json; charset=utf-8" }],
    ["the type of a form", { "content-type": "application/x-www-form-urlencoded" }],
    ["a type that is none", { "content-type": "?" }],
    ["a JSON type and an encoding", { ...json, "content-encoding": "gzip" }],
    ["a JSON type and an unknown encoding", { ...json, "content-encoding": "snappy" }],
  ])("with %s deletes, cancels, restarts and asks for a ticket", async (_what, headers) => {
    const { post, url, engine } = await startServer();
    const send = (method: string, path: string) =>
      fetch(`${url}${path}`, { method, headers: headers as Record<string, string> });
    const { id } = (await (await post("/v1/responses", { input: "hi" })).json()) as { id: string };
    expect((await send("DELETE", `/v1/responses/${id}`)).status).toBe(200);
    engine.script = hold;
    const running = post("/v1/responses", { input: "hi" });
    await eventually(() => engine.runs.length === 2);
    const cancelled = await send("POST", `/v1/responses/${engine.runs[1]!.log.id}/cancel`);
    expect(await cancelled.json()).toMatchObject({ status: "cancelled" });
    await running;
    expect((await send("POST", "/v1/ws-tickets")).status).toBe(200);
    expect((await send("POST", "/admin/workers/w1/restart")).status).toBe(202);
    expect((await send("POST", "/admin/drain")).status).toBe(202);
  });

  it("in chunks is empty too", async () => {
    const { post, port, engine } = await startServer();
    await post("/v1/responses", { input: "hi" });
    const path = `/v1/responses/${engine.runs[0]!.log.id}`;
    const status = await new Promise((resolve, reject) => {
      const headers = { ...json, "transfer-encoding": "chunked" };
      const sent = request({ port, path, method: "DELETE", headers }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      });
      sent.on("error", reject);
      sent.end();
    });
    expect(status).toBe(200);
  });

  it("is not enough where there is something to say", async () => {
    const { url, port } = await startServer();
    for (const path of ["/v1/chat/completions", "/v1/completions", "/v1/responses"]) {
      const answer = await fetch(`${url}${path}`, { method: "POST", headers: json });
      expect(answer.status).toBe(400);
      expect(await errorOf(answer)).toMatchObject({ code: "invalid_json" });
    }
    const { socket, ended } = await rawConnection(port);
    socket.end(
      `POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n\r\n`,
    );
    expect(await ended).toContain("invalid_json");
  });

  it("leaves a body that is there as it was: JSON, or refused", async () => {
    const { url } = await startServer();
    const send = (body: string, type: string) =>
      fetch(`${url}/v1/ws-tickets`, { method: "POST", body, headers: { "content-type": type } });
    expect((await send("{}", "application/json")).status).toBe(200);
    expect((await send("{", "application/json")).status).toBe(400);
    expect((await send("a=b", "application/x-www-form-urlencoded")).status).toBe(415);
  });
});
