import { describe, expect, it } from "vitest";
import { ErrorResponse } from "../../../src-ts/protocol/index.js";
import { abilities, nativeFigures, nativeParts } from "../support/native-figures.js";
import { hold } from "../support/scripted-engine.js";
import { eventually, pass, rawConnection, startServer } from "../support/test-server.js";
import { openSocket } from "../support/test-socket.js";

async function errorOf(answer: Response) {
  return ErrorResponse.parse(await answer.json()).error;
}

const chat = { messages: [{ role: "user", content: "hi" }] };

describe("routes", () => {
  it("answers an unknown route with 404 and a wrong method with 405, in JSON", async () => {
    const { get, url } = await startServer();
    const unknown = await get("/v1/nothing");
    expect(unknown.status).toBe(404);
    expect(await errorOf(unknown)).toMatchObject({
      type: "not_found_error",
      code: "unknown_route",
    });
    for (const [path, allow] of [
      ["/v1/chat/completions", "POST"],
      ["/v1/responses/resp_1/cancel", "POST"],
      ["/admin/drain", "POST"],
    ]) {
      const wrong = await get(path!);
      expect(wrong.status).toBe(405);
      expect(wrong.headers.get("allow")).toBe(allow);
      expect(await errorOf(wrong)).toMatchObject({ code: "method_not_allowed" });
    }
    const put = await fetch(`${url}/v1/responses/resp_1`, { method: "PUT" });
    expect(put.status).toBe(405);
    expect(put.headers.get("allow")).toBe("GET, DELETE");
  });

  it("answers GET /v1/responses without an upgrade with 426", async () => {
    const { get } = await startServer();
    const answer = await get("/v1/responses");
    expect(answer.status).toBe(426);
    expect(answer.headers.get("upgrade")).toBe("websocket");
    expect(await errorOf(answer)).toMatchObject({ code: "upgrade_required" });
  });

  it("lists models and finds one whose id has a slash", async () => {
    const { get } = await startServer();
    const list = await (await get("/v1/models")).json();
    const ours = { object: "model", owned_by: "mlx-serving" };
    expect(list).toEqual({
      object: "list",
      data: [
        {
          ...ours,
          id: "org/first",
          created: 1_700_000_000,
          mlx_serving: {
            decoding: "one_row_at_a_time",
            decoding_reason: abilities.batchReason,
            prefix_reuse: "part",
            prefix_reuse_reason: null,
          },
        },
        { ...ours, id: "second", created: 1_700_000_001, mlx_serving: null },
      ],
    });
    expect(await (await get("/v1/models/org/first")).json()).toMatchObject({ id: "org/first" });
    expect(await (await get("/v1/models/org%2Ffirst")).json()).toMatchObject({ id: "org/first" });
    const missing = await get("/v1/models/org/other");
    expect(missing.status).toBe(404);
    expect(await errorOf(missing)).toMatchObject({ code: "model_not_found", param: "model" });
  });

  it("takes slashes that a base address has too many", async () => {
    const { get, post, url, engine } = await startServer();
    for (const path of ["/v1/models/", "//v1/models", "/v1//models", "/v1/models/org/first/"])
      expect((await get(path)).status, path).toBe(200);
    for (const path of ["/v1/responses/", "/v1//responses", "//v1//responses//"]) {
      const answer = await post(path, { input: "hi" });
      expect(answer.status, path).toBe(200);
      const { id } = (await answer.json()) as { id: string };
      expect((await get(`${path}/${id}/?stream=true`)).status).toBe(200);
      const socket = await openSocket(url, { path });
      socket.create();
      await socket.ended();
    }
    expect((await post("/v1/chat/completions/", chat)).status).toBe(200);
    expect((await post("/v1/responses/", {})).status).toBe(400);
    expect((await get("/health/")).status).toBe(200);
    expect((await get("/v1/responses/")).status).toBe(426);
    expect((await get("/v1/chat/completions/")).status).toBe(405);
    expect((await get("/v1/model/")).status).toBe(404);
    expect(engine.submissions.length).toBe(7);
  });

  it("answers /health always, /ready with its reason and when to come back", async () => {
    const { get, engine } = await startServer();
    expect((await get("/ready")).status).toBe(200);
    engine.readiness_ = { ready: false, reason: "loading, 40 %", retryAfterS: 4 };
    const answer = await get("/ready");
    expect(answer.status).toBe(503);
    expect(answer.headers.get("retry-after")).toBe("4");
    expect((await errorOf(answer)).message).toContain("loading, 40 %");
    expect(await (await get("/health")).json()).toEqual({ status: "ok" });
  });

  it("shows and restarts workers", async () => {
    const { get, post, engine } = await startServer();
    const [worker] = (await (await get("/admin/workers")).json()) as unknown[];
    expect(worker).toMatchObject({ id: "w1", model: "org/first", state: "ready", pid: 4242 });
    const { metrics, pool } = nativeFigures;
    expect(worker).toHaveProperty("native", { parts: nativeParts, metrics, pool });
    expect((await post("/admin/workers/w1/restart", {})).status).toBe(202);
    expect(engine.restarted).toEqual(["w1"]);
    expect((await post("/admin/workers/w9/restart", {})).status).toBe(404);
  });
});

describe("request ids", () => {
  it("are on every answer, errors and streams too", async () => {
    const { get, post } = await startServer();
    const answers = await Promise.all([
      get("/health"),
      get("/nothing"),
      get("/v1/responses"),
      post("/v1/chat/completions", "{"),
      post("/v1/chat/completions", { ...chat, stream: true }),
      post("/v1/responses", { input: "hi", stream: true }),
    ]);
    const ids = answers.map((answer) => answer.headers.get("x-request-id"));
    for (const id of ids) expect(id).toMatch(/^req_[0-9a-f]{32}$/);
    expect(new Set(ids).size).toBe(ids.length);
    await Promise.all(answers.map((answer) => answer.text()));
  });

  it("are the client's own, if short and printable", async () => {
    const { get } = await startServer();
    const idFor = async (id: string) =>
      (await get("/health", { headers: { "x-request-id": id } })).headers.get("x-request-id");
    expect(await idFor("mine-1")).toBe("mine-1");
    expect(await idFor("x".repeat(128))).toBe("x".repeat(128));
    expect(await idFor("x".repeat(129))).toMatch(/^req_/);
    expect(await idFor("with space")).toMatch(/^req_/);
  });
});

describe("bad bodies", () => {
  it("says what is wrong with JSON that isn't, without repeating it", async () => {
    const { post } = await startServer();
    for (const body of ["{", "", "nonsense secret", '{"a":1}}']) {
      const answer = await post("/v1/chat/completions", body);
      expect(answer.status).toBe(400);
      const error = await errorOf(answer);
      expect(error.code).toBe("invalid_json");
      expect(error.message).not.toContain("secret");
    }
  });

  it("refuses bad UTF-8", async () => {
    const { post } = await startServer();
    const body = Buffer.concat([
      Buffer.from('{"messages":[{"role":"user","content":"'),
      Buffer.from([0xff, 0xfe]),
      Buffer.from('"}]}'),
    ]);
    const answer = await post("/v1/chat/completions", "", { body });
    expect(answer.status).toBe(400);
    expect((await errorOf(answer)).message).toContain("UTF-8");
  });

  it("refuses JSON that is too deep, and takes brackets inside strings", async () => {
    const { post } = await startServer({ limits: { jsonDepthMax: 8 } });
    const deep = await post("/v1/chat/completions", `${"[".repeat(9)}${"]".repeat(9)}`);
    expect(deep.status).toBe(400);
    expect((await errorOf(deep)).message).toContain("8 levels");
    const text = `\\"${"[{".repeat(50)}`.replaceAll("\\", "");
    const fine = await post("/v1/chat/completions", {
      messages: [{ role: "user", content: text }],
    });
    expect(fine.status).toBe(200);
  });

  it("survives a hundred thousand brackets", async () => {
    const { post, get } = await startServer();
    const answer = await post("/v1/responses", "[".repeat(100_000));
    expect(answer.status).toBe(400);
    expect((await get("/health")).status).toBe(200);
  });

  it("refuses a body that is too large, one of another type, and none", async () => {
    const { post, url } = await startServer({ limits: { bodyBytesMax: 1000 } });
    const large = await post("/v1/responses", { input: "x".repeat(1001) });
    expect(large.status).toBe(413);
    expect(await errorOf(large)).toMatchObject({ code: "request_too_large" });
    const form = await fetch(`${url}/v1/responses`, { method: "POST", body: "input=hi" });
    expect(form.status).toBe(415);
    expect((await errorOf(form)).message).toContain("application/json");
    const none = await fetch(`${url}/v1/responses`, { method: "POST" });
    expect(none.status).toBe(400);
    expect((await errorOf(none)).type).toBe("invalid_request_error");
  });

  it("treats __proto__ as the unknown field that it is", async () => {
    const { post } = await startServer();
    const answer = await post("/v1/responses", '{"input":"hi","__proto__":{"store":false}}');
    expect(answer.status).toBe(400);
    expect((await errorOf(answer)).code).toBe("unknown_parameter");
    for (const name of ["__proto__", "\\u005f_proto__"]) {
      const inside = await post("/v1/responses", `{"input":"hi","metadata":{"${name}":"x"}}`);
      expect(inside.status).toBe(400);
      expect((await errorOf(inside)).code).toBe("unknown_parameter");
    }
    const text = await post("/v1/responses", { input: 'what is "__proto__"?' });
    expect(text.status).toBe(200);
  });

  it("does not call a client that leaves a fault", async () => {
    const { port, faults, get } = await startServer();
    const { socket, ended } = await rawConnection(port);
    socket.write(
      `POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{`,
    );
    await pass(50);
    socket.resetAndDestroy();
    await ended;
    await pass(50);
    expect((await get("/health")).status).toBe(200);
    expect(faults).toEqual([]);
  });
});

describe("methods that a route lacks", () => {
  it.each(["PUT", "PATCH", "TRACE", "QUERY"])(
    "are 405 with those that it has: %s",
    async (method) => {
      const { port } = await startServer();
      const { socket, ended } = await rawConnection(port);
      socket.write(
        `${method} /v1/models HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`,
      );
      const answer = await ended;
      expect(answer).toContain("405 Method Not Allowed");
      expect(answer.toLowerCase()).toContain("allow: get");
    },
  );

  it("are no fault of ours where there is no route either", async () => {
    const { port, faults } = await startServer();
    const { socket, ended } = await rawConnection(port);
    const lines = `Host: 127.0.0.1:${port}\r\nConnection: close\r\n`;
    socket.write(`QUERY /nothing HTTP/1.1\r\n${lines}\r\n`);
    expect(await ended).toMatch(/^HTTP\/1.1 4/);
    expect(faults).toEqual([]);
  });
});

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

describe("headers of a request", () => {
  it("set deadline and priority", async () => {
    const { post, engine } = await startServer();
    await post("/v1/chat/completions", chat);
    expect(engine.submissions[0]).toMatchObject({ priority: "normal", deadlineMs: undefined });
    const headers = { "x-mlx-serving-deadline-ms": "1500", "x-mlx-serving-priority": "batch" };
    await post("/v1/chat/completions", chat, { headers });
    expect(engine.submissions[1]).toMatchObject({ priority: "batch", deadlineMs: 1500 });
  });

  it.each([
    ["x-mlx-serving-deadline-ms", "0"],
    ["x-mlx-serving-deadline-ms", "-5"],
    ["x-mlx-serving-deadline-ms", "1.5"],
    ["x-mlx-serving-deadline-ms", "86400001"],
    ["x-mlx-serving-deadline-ms", "soon"],
    ["x-mlx-serving-priority", "urgent"],
    ["idempotency-key", "x".repeat(256)],
    ["idempotency-key", "has space"],
  ])("refuses %s: %s by name", async (name, value) => {
    const { post, engine } = await startServer();
    const answer = await post("/v1/chat/completions", chat, { headers: { [name]: value } });
    expect(answer.status).toBe(400);
    expect(await errorOf(answer)).toMatchObject({ code: "invalid_header", param: name });
    expect(engine.submissions).toEqual([]);
  });
});

describe("what isn't HTTP, or doesn't come to its end", () => {
  it("is told so", async () => {
    const { port, get } = await startServer();
    const { socket, ended } = await rawConnection(port);
    socket.write("\x16\x03\x01 nonsense\r\n\r\n");
    const answer = await ended;
    expect(answer).toContain("400 invalid_http");
    expect(answer).toContain("x-request-id");
    expect((await get("/health")).status).toBe(200);
  });

  it("refuses headers that are too large", async () => {
    const { port } = await startServer({ limits: { headerBytesMax: 4096 } });
    const { socket, ended } = await rawConnection(port);
    socket.write(
      `GET /health HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nx: ${"y".repeat(5000)}\r\n\r\n`,
    );
    expect(await ended).toContain("431 headers_too_large");
  });

  it("drops a client that sends its headers byte by byte", async () => {
    const { port, get } = await startServer({ limits: { headersTimeoutMs: 100 } });
    const { socket, ended } = await rawConnection(port);
    socket.write("GET /health HTTP/1.1\r\n");
    const drip = setInterval(() => socket.write("x-slow: 1\r\n"), 30);
    expect(await ended).toContain("408 request_timeout");
    clearInterval(drip);
    expect((await get("/health")).status).toBe(200);
  });

  it("drops a client whose body never comes", async () => {
    const { port } = await startServer({
      limits: { headersTimeoutMs: 100, requestTimeoutMs: 150 },
    });
    const { socket, ended } = await rawConnection(port);
    socket.write(
      `POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{`,
    );
    expect(await ended).toContain("408");
  });
});

it("listens on a name that has several addresses, for sockets too", async () => {
  const { server, port } = await startServer({ host: "localhost" });
  expect(server.address!.url).toBe(`http://localhost:${port}`);
  for (const host of ["localhost", "127.0.0.1"]) {
    expect((await fetch(`http://${host}:${port}/health`)).status).toBe(200);
    await openSocket(`http://${host}:${port}`);
  }
});

describe("its end", () => {
  it("closes at once, whatever runs", async () => {
    const { server, post, engine } = await startServer();
    engine.script = hold;
    const answer = post("/v1/chat/completions", chat).catch((error: unknown) => error);
    await eventually(() => engine.runs.length === 1);
    await server.close();
    expect(await answer).toBeInstanceOf(Error);
    await eventually(() => engine.runs[0]!.log.ending?.kind === "cancelled");
  });

  it("says when its port is taken", async () => {
    const { port } = await startServer();
    await expect(startServer({ port })).rejects.toMatchObject({ code: "EADDRINUSE" });
  });

  it("drains on request: finishes what runs, takes nothing new, then stops", async () => {
    const { get, post, engine, url } = await startServer();
    engine.script = hold;
    const running = post("/v1/chat/completions", chat);
    await eventually(() => engine.runs.length === 1);
    expect((await post("/admin/drain", {})).status).toBe(202);
    expect((await get("/ready")).status).toBe(503);
    const refused = await post("/v1/chat/completions", chat);
    expect(refused.status).toBe(503);
    expect(refused.headers.get("retry-after")).toBe("3");
    expect(await errorOf(refused)).toMatchObject({ type: "overloaded_error" });
    engine.runs[0]!.emit("done");
    engine.runs[0]!.end({ kind: "stop" });
    expect((await running).status).toBe(200);
    let isListening = true;
    while (isListening) {
      isListening = await fetch(`${url}/health`).then(
        () => true,
        () => false,
      );
    }
  });

  it("hands a drain to whoever owns the process, if somebody does", async () => {
    let asked = 0;
    const { post, get } = await startServer({ onDrainRequested: () => void asked++ });
    expect((await post("/admin/drain", {})).status).toBe(202);
    expect(asked).toBe(1);
    expect((await get("/ready")).status).toBe(200);
  });
});
