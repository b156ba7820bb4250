/** Routes of the server as a whole: which there are, what they say beside a body, how it ends. */
import { describe, expect, it } from "vitest";
import { ErrorResponse } from "../../../src-ts/protocol/index.js";
import { openApiDocument } from "../../../src-ts/protocol/openapi.js";
import { abilities, nativeFigures, nativeParts } from "../support/native-figures.js";
import { hold } from "../support/scripted-engine.js";
import { eventually, rawConnection, startServer } from "../support/test-server.js";
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

  it("names the route that isn't there, and the one that was probably meant", async () => {
    const { url } = await startServer();
    const said = async (method: string, path: string) => {
      const answer = await fetch(`${url}${path}`, { method });
      expect(answer.status, path).toBe(404);
      return (await errorOf(answer)).message;
    };
    expect(await said("GET", "/v1/nothing?key=secret")).toBe(
      "There is no such route: GET /v1/nothing. Routes of the API begin with /v1; GET /openapi.json has them all.",
    );
    for (const [path, meant] of [
      ["/chat/completions", "/v1/chat/completions"],
      ["/v1/v1/messages/", "/v1/messages"],
      ["/v1/admin/drain", "/admin/drain"],
      ["/v1/chat/completionz", "/v1/chat/completions"],
      ["/v1/chat/completion/", "/v1/chat/completions"],
      ["/v1/embedding", "/v1/embeddings"],
      ["/v1/complete", "/v1/completions"],
    ])
      expect(await said("POST", path!)).toContain(`Did you mean ${meant}?`);
    // Of Ollama's API those that are registered, whichever these are.
    const { paths } = openApiDocument() as { paths: Record<string, unknown> };
    const ollama = Object.keys(paths).filter((path) => path.startsWith("/api/"));
    expect(ollama.length).toBeGreaterThan(3);
    const answer = await fetch(`${url}/api/pull`, { method: "POST" });
    const { error: hint } = (await answer.json()) as { error: string };
    expect(
      hint
        .match(/\/api\/\w+/g)!
        .slice(1)
        .sort(),
    ).toEqual(ollama.sort());
    expect(await said("GET", "/%00\u00e9%7f")).toMatch(/GET \/%00[%\w?]*\. /);
  });

  it("takes no part of another API for the name of a response or a model", async () => {
    const { url } = await startServer();
    const statusOf = async (method: string, path: string) =>
      (await fetch(`${url}${path}`, { method })).status;
    expect(await statusOf("POST", "/v1/responses/compact")).toBe(404);
    expect(await statusOf("POST", "/v1/responses/resp_1")).toBe(405);
    expect(await statusOf("GET", "/v1/responses/compact/cancel")).toBe(404);
    expect(await statusOf("POST", "/v1/responses/compact/input_items")).toBe(404);
    expect(await statusOf("POST", "/v1/messages/batches")).toBe(404);
    expect(await statusOf("POST", "/console/main.js")).toBe(404);
    expect(await statusOf("POST", "/v1/models/load")).toBe(404);
    expect(await statusOf("POST", "/v1/models/org/first")).toBe(405);
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
            kv_bits: 8,
            makes_text: true,
            embedding_dimensions: 16,
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
