/**
 * Nothing that was said to a model is in a log, a metric, a page or an error: one marked prompt goes down
 * every way to fail, at the most talkative log level, and is looked for everywhere.
 */
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { type ServerProcess, startServer } from "../e2e/support/server.js";
import { eventually, type Opened, openTo } from "./support/attack.js";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const canary = "canary-Qx7";
const apiKey = `sk-${canary}`;
const withKey = { authorization: `Bearer ${apiKey}` };
/** The worker that reads it dies. */
const poison = `${canary}-poison`;

let server: ServerProcess;
let socket: Opened;
/** Everything that the server has said, but for the answers of a model. */
const said: string[] = [];

beforeAll(async () => {
  server = await startServer({
    flags: ["--engine", "fake", "--log-level", "trace", "--api-key", apiKey],
    env: {
      MLX_SERVING_FAKE_FAULTS: JSON.stringify({ poison }),
      // What can't be sent is told of, too.
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1",
      OTEL_EXPORTER_OTLP_TIMEOUT: "100",
      OTEL_BSP_SCHEDULE_DELAY: "20",
    },
    apiKey,
  });
  socket = await openTo(server.url, apiKey, "?events=mlx_serving");
});

afterAll(async () => {
  socket?.ws.terminate();
  await server?.[Symbol.asyncDispose]();
});

async function refused(path: string, body: string | object, init: RequestInit = {}) {
  const answer = await fetch(`${server.url}${path}`, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...init,
    headers: { "content-type": "application/json", ...withKey, ...init.headers },
  });
  said.push(await answer.text(), JSON.stringify([...answer.headers]));
  return answer.status;
}

const chat = (fields: object) => ({ messages: [{ role: "user", content: canary }], ...fields });

it("is in no error about a request", async () => {
  const tool = { type: "function", name: canary };
  const bodies: [string, string | object][] = [
    ["/v1/responses", `{"input": "${canary}`],
    ["/v1/responses", `${canary}`],
    ["/v1/responses", { input: { text: canary } }],
    ["/v1/responses", { input: [{ role: canary, content: canary }] }],
    ["/v1/responses", { input: [{ role: "user", content: [{ type: canary, text: canary }] }] }],
    ["/v1/responses", { input: canary, instructions: [canary] }],
    ["/v1/responses", { input: canary, temperature: canary }],
    ["/v1/responses", { input: canary, tools: [tool, tool] }],
    ["/v1/responses", { input: canary, tool_choice: tool }],
    [
      "/v1/responses",
      { input: [{ type: "function_call_output", call_id: canary, output: canary }] },
    ],
    ["/v1/messages", { max_tokens: 2, messages: [{ role: canary, content: canary }] }],
    ["/v1/responses", { input: canary, text: { format: { type: canary } } }],
    ["/v1/responses", { input: canary, stream_options: {}, stream: false }],
    ["/v1/responses", { input: canary, previous_response_id: canary }],
    ["/v1/responses", { input: canary, metadata: { a: canary.repeat(100) } }],
    ["/v1/responses", { input: canary, stop: [canary, ""] }],
    ["/v1/responses", { input: canary.repeat(100_000) }],
    ["/v1/chat/completions", chat({ model: "none" })],
    ["/v1/chat/completions", chat({ logit_bias: { [canary]: 1 } })],
    ["/v1/chat/completions", chat({ logit_bias: { 99999: 1 } })],
    ["/v1/chat/completions", chat({ max_tokens: 1, max_completion_tokens: 2 })],
    ["/v1/chat/completions", chat({ response_format: { type: canary } })],
    ["/v1/chat/completions", { messages: [{ role: "tool", content: canary }] }],
    ["/v1/completions", { prompt: [canary, 3] }],
    ["/v1/completions", { prompt: canary, suffix: canary }],
    ["/v1/completions", { prompt: canary.repeat(100_000) }],
  ];
  for (const [path, body] of bodies)
    expect(await refused(path, body), JSON.stringify(body)).toBeGreaterThanOrEqual(400);
  const headers = { "content-type": "text/plain" };
  expect(await refused("/v1/responses", canary, { headers })).toBe(415);
  const deadline = { headers: { "x-mlx-serving-deadline-ms": canary } };
  expect(await refused("/v1/responses", { input: canary }, deadline)).toBe(400);
  const key = { headers: { "idempotency-key": "of-the-canary" } };
  expect(await refused("/v1/responses", { input: canary, max_output_tokens: 1 }, key)).toBe(200);
  said.splice(-2);
  expect(await refused("/v1/responses", { input: canary, max_output_tokens: 2 }, key)).toBe(409);
});

it("is in nothing that is said of a request that goes well, or of a key", async () => {
  const answered = async (path: string, body: object, headers: Record<string, string> = {}) => {
    const status = await refused(path, body, { headers });
    // What a model answers, and what is repeated of its request, are the client's.
    said.splice(-2);
    return status;
  };
  const parameters = { type: "object", properties: { [canary]: { enum: [canary] } } };
  const tools = [{ type: "function", name: canary, description: canary, parameters }];
  const format = { type: "json_schema", name: canary, schema: parameters };
  const messages = [{ role: "user", content: canary }];
  // Names of unknown fields are told, since whoever sends them asks for something in vain.
  const few = { max_output_tokens: 3 };
  const bodies: [string, object][] = [
    ["/v1/responses", { ...few, input: canary, instructions: canary, tools, stop: [canary] }],
    ["/v1/responses", { ...few, input: canary, text: { format }, stream: true }],
    ["/v1/responses", { ...few, input: canary, metadata: { [canary]: canary }, unknown: canary }],
    ["/v1/chat/completions", chat({ max_tokens: 3, user: canary, unknown: canary })],
    ["/v1/completions", { prompt: canary, max_tokens: 3, stop: canary }],
    ["/v1/messages", { model: "x", max_tokens: 3, messages, system: canary }],
    ["/api/generate", { prompt: canary, options: { num_predict: 3 } }],
    ["/v1/embeddings", { input: canary }],
    ["/v1/tokenize", { prompt: canary }],
  ];
  const statuses = [];
  for (const [path, body] of bodies) statuses.push(await answered(path, body));
  expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(5);
  const wrong = { authorization: `Bearer ${canary}-wrong` };
  expect(await refused("/v1/responses", { input: canary }, { headers: wrong })).toBe(401);
  const ids = { "x-request-id": "of-the-log", traceparent: canary, tracestate: canary };
  expect(await answered("/v1/responses", { ...few, input: canary }, ids)).toBe(200);
});

it("is in no error about a message", async () => {
  const messages = [
    `{"type": "${canary}"}`,
    `{"type": "response.create", "input": {"${canary}": 1}}`,
    `{"type": "response.create", "input": "${canary}", "top_p": "${canary}"}`,
    `{"type": "response.create", "input": "${canary}", "stream_id": "${canary}/"}`,
    `{"type": "response.create", "input": "${canary}`,
    `${canary}`,
  ];
  for (const message of messages) socket.ws.send(message);
  socket.ws.send(Buffer.from(canary));
  await eventually(() => socket.texts.length > messages.length);
  // The lane that the client named is repeated to it, as what it is.
  said.push(...socket.texts.map((text) => text.replace(/"stream_id":"[^"]*"/, "")));
});

it("is not in what is said of a request that kills its workers", async () => {
  const body = { input: poison, max_output_tokens: 3, store: false };
  const answer = await fetch(`${server.url}/v1/responses`, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json", ...withKey },
  });
  const { status, error } = (await answer.json()) as { status: string; error: { code: string } };
  expect([status, error.code]).toEqual(["failed", "worker_crashed"]);
  said.push(JSON.stringify(error));
  await server.until(({ state }) => state === "ready");
});

it("is nowhere to be found", async () => {
  for (const path of ["/metrics", "/", "/admin/workers", "/ready"])
    said.push(await (await fetch(`${server.url}${path}`, { headers: withKey })).text());
  expect(said.length).toBeGreaterThan(50);
  expect(said.filter((text) => text.includes(canary))).toEqual([]);
  const lines = server.stderr().split("\n");
  expect(lines.length).toBeGreaterThan(20);
  expect(lines.filter((line) => line.includes(canary))).toEqual([]);
});

it("and every line of the log is a worker's, the server's own, or has the id of its request", () => {
  const lines = server
    .stderr()
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const ofRequests = lines.filter(({ worker, msg }) => {
    const isOwn = /^telemetry: |^native |^loading: |^the variable /.test(String(msg));
    return worker === undefined && !isOwn;
  });
  expect(ofRequests.length).toBeGreaterThan(30);
  expect(ofRequests.filter(({ requestId }) => typeof requestId !== "string")).toEqual([]);
  const kinds = new Set(ofRequests.map(({ msg }) => msg));
  for (const kind of ["request", "response ended", "response failed", "request turned away"])
    expect(kinds).toContain(kind);
  const mine = lines.filter(({ requestId }) => requestId === "of-the-log").map(({ msg }) => msg);
  expect(mine.toSorted()).toEqual(["request", "response ended"]);
});
