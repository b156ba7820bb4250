import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { packageRoot } from "../../../setup/paths.mjs";
import { responsesUrl } from "../../../src-ts/client/connection.js";
import { ClientClosedError, connect, isClientError } from "../../../src-ts/client/index.js";
import { type FakeServer, startFakeServer } from "./support/fake-server.js";

describe("responsesUrl", () => {
  it.each([
    ["ws://h:1", "ws://h:1/v1/responses"],
    ["ws://h:1/", "ws://h:1/v1/responses"],
    ["http://h:1/v1", "ws://h:1/v1/responses"],
    ["https://h/v1/", "wss://h/v1/responses"],
    ["wss://h/prefix/v1/responses", "wss://h/prefix/v1/responses"],
    ["ws://h/prefix?a=b#c", "ws://h/prefix/v1/responses?a=b"],
    ["http://h:1", "ws://h:1/v1/responses"],
    ["HTTPS://h/v1/responses", "wss://h/v1/responses"],
    ["127.0.0.1:8088", "ws://127.0.0.1:8088/v1/responses"],
    ["localhost:8088/v1", "ws://localhost:8088/v1/responses"],
    ["example.org", "ws://example.org/v1/responses"],
    ["example.org/prefix?a=b", "ws://example.org/prefix/v1/responses?a=b"],
    ["[::1]:8088", "ws://[::1]:8088/v1/responses"],
    [" ws://h:1\n", "ws://h:1/v1/responses"],
    [new URL("http://h:1/v1"), "ws://h:1/v1/responses"],
  ])("makes %s to %s", (given, expected) => {
    expect(responsesUrl(given, { notices: false })).toBe(expected);
  });

  it("adds what the options ask for", () => {
    const url = responsesUrl("ws://h", { ticket: "t&t" });
    expect(url).toBe("ws://h/v1/responses?events=mlx_serving&ticket=t%26t");
  });

  it.each([
    ...["", "ftp://h", "mailto:h", "h:port", "h:1:2", "user@h", "://h", "http://", "a b", "[h]:1"],
    ...["ws://h:99999", "h:99999", "file:///h", "/v1/responses"],
  ])("refuses %s", (given) => {
    expect(() => responsesUrl(given, {})).toThrow(expect.objectContaining({ code: "invalid_url" }));
  });
});

describe("docs/CLIENT.md", () => {
  const page = readFileSync(join(packageRoot, "docs", "CLIENT.md"), "utf8");
  const section = page.slice(page.indexOf("## Addresses"), page.indexOf("## Schemas"));
  const quoted = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, inner]) => inner!);

  it("says which address is opened", () => {
    const rows = [...section.matchAll(/^\| (`\S.*) \| `(wss?:[^`]+)` \|/gm)];
    expect(rows.length).toBeGreaterThan(5);
    for (const [, given = "", opened] of rows)
      for (const address of quoted(given))
        expect(responsesUrl(address, { notices: false }), address).toBe(opened);
  });

  it("says which none is", () => {
    const wrong = quoted(/^Anything else, such as (.*) or a blank/m.exec(section)![1]!);
    expect(wrong.length).toBeGreaterThan(2);
    for (const address of [...wrong, "", " "])
      expect(() => responsesUrl(address, {}), address).toThrow(
        expect.objectContaining({ code: "invalid_url" }),
      );
  });
});

describe("isClientError", () => {
  it("knows its own errors, and no others that look alike", () => {
    expect(isClientError(new ClientClosedError())).toBe(true);
    const alike = Object.assign(new Error("x"), { code: "c", status: 400, param: null });
    expect(isClientError(alike)).toBe(false);
    expect(isClientError(undefined)).toBe(false);
  });
});

describe("connect", () => {
  let server: FakeServer;
  beforeEach(async () => {
    server = await startFakeServer();
  });
  afterEach(async () => {
    await server.close();
  });

  it("sends the key and other headers", async () => {
    const options = { apiKey: "secret", headers: { "x-request-id": "r1" } };
    const [client, { request }] = await Promise.all([
      connect(server.url, options),
      server.socket(),
    ]);
    expect(request.headers).toMatchObject({
      authorization: "Bearer secret",
      "x-request-id": "r1",
    });
    await client.close();
  });

  it("says why the server refused", async () => {
    const error = {
      message: "Wrong key",
      type: "authentication_error",
      param: null,
      code: "bad_key",
    };
    server.refuse(401, JSON.stringify({ error }));
    await expect(connect(server.url)).rejects.toMatchObject({
      name: "ConnectError",
      code: "bad_key",
      status: 401,
      message: "Wrong key",
    });
  });

  it("takes a refusal that is no JSON", async () => {
    server.refuse(503, "<html>");
    const error = await connect(server.url).catch((caught: unknown) => caught);
    expect(isClientError(error)).toBe(true);
    expect(error).toMatchObject({ code: "handshake_refused", status: 503 });
  });

  it("gives up when aborted", async () => {
    const reason = "later";
    await expect(connect(server.url, { signal: AbortSignal.abort(reason) })).rejects.toMatchObject({
      code: "aborted",
      cause: reason,
    });
  });
});

describe("connect without a server", () => {
  let silent: Server;
  let port: number;
  beforeEach(async () => {
    // Reads, so that it sees the other side leave; never answers.
    silent = createServer((socket) => socket.resume());
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    port = (silent.address() as AddressInfo).port;
  });

  it("says that nobody listens", async () => {
    await new Promise((resolve) => silent.close(resolve));
    await expect(connect(`ws://127.0.0.1:${port}`)).rejects.toMatchObject({
      code: "connection_refused",
    });
  });

  it("times out where nobody answers, and can be aborted meanwhile", async () => {
    const url = `ws://127.0.0.1:${port}`;
    await expect(connect(url, { connectTimeoutMs: 20 })).rejects.toMatchObject({
      code: "connect_timeout",
    });
    const controller = new AbortController();
    const connecting = connect(url, { signal: controller.signal });
    silent.once("connection", () => controller.abort());
    await expect(connecting).rejects.toMatchObject({ code: "aborted" });
    await new Promise((resolve) => silent.close(resolve));
  });
});
