/** Who may ask, over HTTP and WebSocket: keys, Host, Origin. */
import { describe, expect, it } from "vitest";
import { ErrorResponse } from "../../../src-ts/protocol/index.js";
import { rawConnection, startServer } from "../support/test-server.js";
import { openSocket } from "../support/test-socket.js";

async function errorOf(answer: Response) {
  return ErrorResponse.parse(await answer.json()).error;
}

const chat = { messages: [{ role: "user", content: "hi" }] };

describe("keys", () => {
  const config = { apiKeys: ["key-one", "key-two"] };

  it("are asked for everywhere but at /health", async () => {
    const { get, post } = await startServer(config);
    for (const path of ["/v1/models", "/ready", "/metrics", "/admin/workers", "/v1/responses"])
      expect((await get(path)).status, path).toBe(401);
    const refused = await post("/v1/chat/completions", chat);
    expect(refused.status).toBe(401);
    expect(refused.headers.get("www-authenticate")).toBe("Bearer");
    expect(await errorOf(refused)).toMatchObject({
      type: "authentication_error",
      code: "missing_api_key",
    });
    expect((await get("/health")).status).toBe(200);
  });

  it("refuses a wrong one without repeating it and takes each right one", async () => {
    const { get, logs } = await startServer(config);
    const as = (authorization: string) => get("/v1/models", { headers: { authorization } });
    const wrong = await as("Bearer key-three");
    expect(wrong.status).toBe(401);
    expect(await wrong.text()).not.toContain("key-three");
    for (const header of ["Basic key-one", "Bearer", "key-one", "Bearer key-on"])
      expect((await as(header)).status, header).toBe(401);
    expect((await as("Bearer key-one")).status).toBe(200);
    expect((await as("bearer key-two")).status).toBe(200);
    expect(logs.join("\n")).not.toContain("key-");
  });

  it("make a response invisible to other keys", async () => {
    const { get, post, url } = await startServer(config);
    const one = { headers: { authorization: "Bearer key-one" } };
    const two = { headers: { authorization: "Bearer key-two" } };
    const { id } = (await (await post("/v1/responses", { input: "hi" }, one)).json()) as {
      id: string;
    };
    expect((await get(`/v1/responses/${id}`, one)).status).toBe(200);
    expect((await get(`/v1/responses/${id}`, two)).status).toBe(404);
    expect((await post(`/v1/responses/${id}/cancel`, {}, two)).status).toBe(404);
    const removed = await fetch(`${url}/v1/responses/${id}`, { method: "DELETE", ...two });
    expect(removed.status).toBe(404);
    expect((await get(`/v1/responses/${id}`, one)).status).toBe(200);
  });

  it("are who shares fairly; without keys it is the address", async () => {
    const keyed = await startServer(config);
    const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
    for (const key of ["key-one", "key-one", "key-two"])
      await keyed.post("/v1/chat/completions", chat, as(key));
    const [first, second, third] = keyed.engine.submissions;
    expect(first!.clientId).toBe(second!.clientId);
    expect(first!.clientId).not.toBe(third!.clientId);
    const open = await startServer();
    await open.post("/v1/chat/completions", chat);
    expect(open.engine.submissions[0]!.clientId).toContain("127.0.0.1");
  });
});

describe("Host and Origin", () => {
  async function statusFor(port: number, host: string, more = ""): Promise<string> {
    const { socket, ended } = await rawConnection(port);
    socket.write(`GET /health HTTP/1.1\r\nHost: ${host}\r\n${more}Connection: close\r\n\r\n`);
    return ended;
  }

  it("takes loopback with its port and nothing else", async () => {
    const { port } = await startServer();
    for (const host of [
      `localhost:${port}`,
      `127.0.0.1:${port}`,
      `[::1]:${port}`,
      `LOCALHOST:${port}`,
    ])
      expect(await statusFor(port, host)).toContain("200 OK");
    for (const host of [
      "localhost",
      "evil.example",
      `evil.example:${port}`,
      `127.0.0.1:${port + 1}`,
      `127.0.0.1.evil.example:${port}`,
    ]) {
      const answer = await statusFor(port, host);
      expect(answer, host).toContain("403 Forbidden");
      expect(answer).toContain("host_not_allowed");
      expect(answer.toLowerCase()).toContain("x-request-id: req_");
    }
  });

  it("takes one Host, for sockets too", async () => {
    const { port } = await startServer();
    const host = `127.0.0.1:${port}`;
    for (const more of ["", "Connection: Upgrade\r\nUpgrade: websocket\r\n"]) {
      const answer = await statusFor(port, host, `Host: evil.example\r\n${more}`);
      expect(answer).toContain("400 Bad Request");
      expect(answer).toContain("invalid_header");
    }
  });

  it("takes the hosts that it is told, exactly", async () => {
    const { port } = await startServer({ allowedHosts: ["a.example", "b.example:99"] });
    for (const host of ["a.example", `a.example:${port}`, "b.example:99"])
      expect(await statusFor(port, host)).toContain("200 OK");
    for (const host of ["b.example", `b.example:${port}`, "sub.a.example", "a.example:1"])
      expect(await statusFor(port, host)).toContain("403 Forbidden");
  });

  it("takes whatever host and origin where a star stands for all", async () => {
    const { get, port } = await startServer({ allowedHosts: ["*"], allowedOrigins: ["*"] });
    expect(await statusFor(port, "whatever.example:1")).toContain("200 OK");
    const answer = await get("/v1/models", { headers: { origin: "https://evil.example" } });
    expect(answer.headers.get("access-control-allow-origin")).toBe("https://evil.example");
  });

  it("takes no origin, its own, and the ones that it is told", async () => {
    const { get, port } = await startServer({ allowedOrigins: ["https://app.example"] });
    const from = (origin: string) => get("/v1/models", { headers: { origin } });
    expect((await get("/v1/models")).headers.has("access-control-allow-origin")).toBe(false);
    expect((await from(`http://127.0.0.1:${port}`)).status).toBe(200);
    const allowed = await from("https://app.example");
    expect(allowed.status).toBe(200);
    expect(allowed.headers.get("access-control-allow-origin")).toBe("https://app.example");
    expect(allowed.headers.get("vary")).toBe("origin");
    for (const origin of [
      "https://evil.example",
      "null",
      "https://app.example.evil",
      "http://app.example",
    ]) {
      const refused = await from(origin);
      expect(refused.status, origin).toBe(403);
      expect(refused.headers.has("access-control-allow-origin")).toBe(false);
      expect(await errorOf(refused)).toMatchObject({ code: "origin_not_allowed" });
    }
  });

  const loopbackOrigins = ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"].flatMap((name) =>
    ["http", "https"].flatMap((scheme) =>
      ["", ":1", ":3000", ":65535"].map((port) => `${scheme}://${name}${port}`),
    ),
  );

  it("takes pages of this machine when it is on loopback, and their questions before", async () => {
    const { get, url } = await startServer({ apiKeys: ["key"] });
    for (const origin of loopbackOrigins) {
      const headers = { origin, authorization: "Bearer key" };
      const answer = await get("/v1/models", { headers });
      expect(answer.status, origin).toBe(200);
      expect(answer.headers.get("access-control-allow-origin")).toBe(origin);
      const asked = { origin, "access-control-request-method": "POST" };
      const allowed = await get("/v1/responses", { method: "OPTIONS", headers: asked });
      expect(allowed.status).toBe(204);
      // The origin is no key.
      expect((await get("/v1/models", { headers: { origin } })).status).toBe(401);
      await openSocket(url, { headers });
    }
  });

  it("takes none of them when others can reach it, or when a proxy brings them", async () => {
    const wide = await startServer({ host: "0.0.0.0", apiKeys: ["key"] });
    const proxied = await startServer({ allowedHosts: ["public.example"] });
    const headers = (host: string, origin: string) => `Host: ${host}\r\nOrigin: ${origin}\r\n`;
    const ask = async (port: number, host: string, origin: string) => {
      const { socket, ended } = await rawConnection(port);
      const head = `GET /health HTTP/1.1\r\n${headers(host, origin)}Connection: close\r\n\r\n`;
      socket.write(head);
      return ended;
    };
    for (const origin of loopbackOrigins) {
      expect(await ask(wide.port, `127.0.0.1:${wide.port}`, origin)).toContain("403 Forbidden");
      expect(await ask(proxied.port, "public.example", origin)).toContain("403 Forbidden");
    }
    expect(await ask(proxied.port, "public.example", "https://public.example")).toContain("200 OK");
    const local = `localhost:${proxied.port}`;
    expect(await ask(proxied.port, local, "http://localhost:3000")).toContain("200 OK");
  });

  it("answers a browser's question before it sends", async () => {
    const { url } = await startServer({
      allowedOrigins: ["https://app.example"],
      apiKeys: ["key"],
    });
    const ask = (origin: string) =>
      fetch(`${url}/v1/responses`, {
        method: "OPTIONS",
        headers: {
          origin,
          "access-control-request-method": "POST",
          "access-control-request-headers": "authorization, content-type",
        },
      });
    const yes = await ask("https://app.example");
    expect(yes.status).toBe(204);
    expect(yes.headers.get("access-control-allow-headers")).toBe("authorization, content-type");
    expect(yes.headers.get("access-control-allow-methods")).toContain("POST");
    expect((await ask("https://evil.example")).status).toBe(403);
  });

  it("lets a page of the internet that may use it reach this machine, and no other page", async () => {
    const { url } = await startServer({ allowedOrigins: ["https://app.example"] });
    const ask = (origin: string) =>
      fetch(`${url}/v1/responses`, {
        method: "OPTIONS",
        headers: {
          origin,
          "access-control-request-method": "POST",
          "access-control-request-private-network": "true",
        },
      });
    const name = "access-control-allow-private-network";
    expect((await ask("https://app.example")).headers.get(name)).toBe("true");
    expect((await ask("https://evil.example")).headers.has(name)).toBe(false);
  });

  it("takes the origins of desktop and mobile shells once it is told them", async () => {
    const shells = [
      "tauri://localhost",
      "http://tauri.localhost",
      "capacitor://localhost",
      "app://x",
    ];
    const told = await startServer({ allowedOrigins: shells });
    const untold = await startServer();
    for (const origin of shells) {
      const headers = { origin };
      expect((await told.get("/v1/models", { headers })).status, origin).toBe(200);
      expect((await untold.get("/v1/models", { headers })).status, origin).toBe(403);
      await openSocket(told.url, { headers });
    }
  });
});
