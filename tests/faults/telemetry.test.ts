/** The real program with a collector: what a killed worker looks like in a trace, and that a dead endpoint costs nothing. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type ServerProcess, startServer } from "../e2e/support/server.js";
import { Collector } from "../support/collector.js";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const canary = "canary-Tz3";
const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const traceparent = `00-${traceId}-00f067aa0ba902b7-01`;
const quick = { OTEL_EXPORTER_OTLP_PROTOCOL: "http/json", OTEL_BSP_SCHEDULE_DELAY: "20" };
const slowly = ["--engine", "fake", "--fake-tokens-per-second", "100"];

const ask = (url: string, fields: object = {}, headers: Record<string, string> = {}) =>
  fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ messages: [{ role: "user", content: canary }], ...fields }),
  });

const spansIn = (metrics: string, outcome: string) =>
  Number(new RegExp(`telemetry_spans_total{outcome="${outcome}"} (\\d+)`).exec(metrics)![1]);
const metricsOf = async ({ url }: ServerProcess) => (await fetch(`${url}/metrics`)).text();

describe("a collector", () => {
  let collector: Collector;
  let server: ServerProcess;
  beforeAll(async () => {
    collector = await Collector.start();
    const env = { ...quick, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
    server = await startServer({ flags: slowly, env });
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await collector?.[Symbol.asyncDispose]();
  });

  it("sees that a worker was killed in mid-answer, on the caller's trace", async () => {
    const stream = { stream: true, max_tokens: 60 };
    const answer = await ask(server.url, stream, { traceparent, "x-request-id": "mine" });
    const reader = answer.body!.getReader();
    await reader.read();
    await server.until(({ decoding }) => decoding === 1);
    await fetch(`${server.url}/admin/workers/w1/kill`, { method: "POST" });
    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read())
      text += Buffer.from(part.value).toString();
    expect(text.trimEnd().endsWith("[DONE]")).toBe(true);
    await collector.until(({ spans }) => spans.some(({ kind }) => kind === 2));
    const own = collector.spans.find(({ kind }) => kind === 2)!;
    expect(own).toMatchObject({ traceId, parentSpanId: "00f067aa0ba902b7", status: 0 });
    expect(own.attributes).toMatchObject({
      "mlx_serving.request.id": "mine",
      "mlx_serving.request.attempts": 2,
      "gen_ai.usage.output_tokens": 60,
    });
    expect(own.events).toMatchObject([
      { name: "mlx_serving.migrated", attributes: { "mlx_serving.attempt": 1 } },
    ]);
    const decodes = collector.spans.filter(({ name }) => name === "decode");
    expect(decodes.map(({ status }) => status)).toEqual([2, 0]);
    const metrics = await metricsOf(server);
    expect(metrics).toMatch(/requests_migrated_total{.*} 1/);
    expect(metrics).toMatch(/worker_restarts_total{worker="w1".*} 1/);
    // The prompt, and what was made of the answer.
    const replayed = Number(/replayed_tokens_total{.*} (\d+)/.exec(metrics)![1]);
    expect(replayed).toBeGreaterThan(10);
    expect(replayed).toBeLessThan(200);
    expect(spansIn(metrics, "dropped")).toBe(0);
  });

  it("gets the rest at the end, and never a word of a prompt", async () => {
    await ask(server.url, { max_tokens: 1 });
    server.signal("SIGTERM");
    expect(await server.exited).toEqual({ code: 0, signal: null });
    expect(collector.spans.filter(({ kind }) => kind === 2).length).toBe(2);
    expect(collector.metrics.map(({ name }) => name)).toContain("gen_ai.server.request.duration");
    expect(collector.received.length).toBeGreaterThan(1);
    expect(collector.received.filter(({ body }) => body.includes(canary))).toEqual([]);
  });
});

describe.each([
  ["refuses", "http://127.0.0.1:1"],
  ["hangs", undefined],
])("an endpoint that %s", (how, dead) => {
  it("costs no request anything, is said once, and lets the server end", async () => {
    await using collector = await Collector.start();
    collector.mood = "hang";
    const endpoint = dead ?? collector.url;
    const flags = ["--engine", "fake", "--otlp-endpoint", endpoint];
    const env = { ...quick, OTEL_EXPORTER_OTLP_TIMEOUT: "300", OTEL_BSP_MAX_QUEUE_SIZE: "40" };
    await using server = await startServer({ flags, env });
    for (let i = 0; i < 30; i++) {
      const answer = await ask(server.url, { max_tokens: 3 });
      expect(answer.status).toBe(200);
      await answer.text();
    }
    await vi.waitFor(() => expect(server.stderr()).toContain("traces can't be sent"), 20_000);
    const metrics = await metricsOf(server);
    expect(spansIn(metrics, "dropped")).toBeGreaterThan(40);
    expect(spansIn(metrics, "exported")).toBe(0);
    if (how === "hangs") expect(collector.received.length).toBeGreaterThan(0);
    server.signal("SIGTERM");
    expect(await server.exited).toEqual({ code: 0, signal: null });
    expect(server.stderr().match(/traces can't be sent/g)?.length).toBe(1);
  });
});

it("a variable that is wrong is said, and the server serves", async () => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: "nowhere", OTEL_EXPORTER_OTLP_HEADERS: "a=secret" };
  await using server = await startServer({ flags: ["--engine", "fake"], env });
  expect((await ask(server.url, { max_tokens: 1 })).status).toBe(200);
  expect(server.stderr()).toContain("OTEL_EXPORTER_OTLP_ENDPOINT must be a URL");
  expect(server.stderr()).not.toContain("secret");
  expect(await metricsOf(server)).not.toContain("telemetry_spans_total");
});
