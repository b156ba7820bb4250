/** The real SDK, an engine whose responses the test writes, and a collector that may be broken. */
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import type { Origin, Timeline } from "../../../src-ts/engine/api.js";
import * as names from "../../../src-ts/telemetry/names.js";
import { telemetrySettings } from "../../../src-ts/telemetry/settings.js";
import { Telemetry } from "../../../src-ts/telemetry/telemetry.js";
import { Collector } from "../../support/collector.js";
import { ScriptedEngine } from "../support/scripted-engine.js";

const trace = "0af7651916cd43dd8448eb211c80319c";
const caller = "b7ad6b7169203331";

beforeEach(() => {
  vi.stubEnv("OTEL_BSP_SCHEDULE_DELAY", "20");
});
afterEach(() => {
  vi.unstubAllEnvs();
});

async function start({ env = {}, url }: { env?: Record<string, string>; url?: string } = {}) {
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  const collector = await Collector.start();
  const engine = new ScriptedEngine();
  const lines: string[] = [];
  const say = (fields: object, message: string) =>
    void lines.push(`${message} ${JSON.stringify(fields)}`);
  const { settings, notes } = telemetrySettings(url ?? collector.url, {
    ...{ OTEL_EXPORTER_OTLP_PROTOCOL: "http/json", OTEL_METRIC_EXPORT_INTERVAL: "50" },
    ...env,
  });
  expect(notes).toEqual([]);
  const telemetry = await Telemetry.start({
    settings: settings!,
    engine,
    logger: { info: say, warn: say },
    address: () => ({ host: "127.0.0.1", port: 8088 }),
    flushMsMax: 50,
  });
  onTestFinished(async () => {
    await telemetry.close();
    await engine.close();
    await collector[Symbol.asyncDispose]();
  });
  /** One response, from its arrival to its end. */
  const respond = async (origin?: Partial<Origin>) => {
    const response = await engine.submit({
      input: { kind: "chat", messages: [{ role: "user", content: "canary" }] },
      origin: { requestId: "req_1", ...origin },
    });
    engine.timelines.set(response.id, timelineOf(response.id));
    const cursor = response.read(-1);
    for await (const _entry of cursor);
    return response;
  };
  return { collector, engine, telemetry, lines, respond };
}

const timelineOf = (id: string): Timeline => ({
  ...{ id, model: "org/first", priority: "normal", arrivedAtMs: 1_000, live: false },
  ...{ emitted: 5, omitted: 0 },
  transitions: [
    { event: "accepted", afterMs: 1 },
    { event: "dispatched", workerId: "w1", attempt: 1, afterMs: 2 },
    { event: "decoding", workerId: "w1", afterMs: 4 },
    { event: "ended", finish: "stop", afterMs: 10 },
  ],
});

describe("traces", () => {
  it("go on the caller's, and have their phases within", async () => {
    const { collector, respond } = await start();
    const tracestate = "vendor=value";
    const { id } = await respond({ traceparent: `00-${trace}-${caller}-01`, tracestate });
    await collector.until(({ spans }) => spans.length === 4);
    const { spans } = collector;
    const own = spans.find(({ kind }) => kind === 2)!;
    expect(own).toMatchObject({ traceId: trace, parentSpanId: caller, name: "chat org/first" });
    expect(own).toMatchObject({ traceState: tracestate, startMs: 1_000, endMs: 1_010 });
    expect(own.attributes["gen_ai.response.id"]).toBe(id);
    expect(own.attributes["server.port"]).toBe(8088);
    const phases = spans.filter((span) => span !== own);
    expect(phases.map(({ name }) => name).toSorted()).toEqual(["decode", "prefill", "queue"]);
    for (const { traceId, parentSpanId, kind } of phases)
      expect([traceId, parentSpanId, kind]).toEqual([trace, own.spanId, 1]);
  });

  it("use names of the one file alone, and say nothing of what was said", async () => {
    const { collector, respond } = await start();
    await respond();
    await collector.until(({ spans, metrics }) => spans.length === 4 && metrics.length === 4);
    const known = new Set<string>(Object.values(names.attributes));
    const used = [
      ...collector.spans.flatMap(({ attributes, events }) => [
        ...Object.keys(attributes),
        ...events.flatMap((event) => Object.keys(event.attributes)),
      ]),
      ...collector.metrics.flatMap(({ points }) =>
        points.flatMap(({ attributes }) => Object.keys(attributes)),
      ),
    ];
    expect(used.length).toBeGreaterThan(20);
    expect(used.filter((name) => !known.has(name))).toEqual([]);
    const bodies = collector.received.map(({ body }) => body.toString());
    expect(bodies.filter((body) => /canary|wörld/.test(body))).toEqual([]);
  });

  it("begin anew where the caller's context is none", async () => {
    const { collector, respond } = await start();
    await respond({ traceparent: "00-zz-1-01" });
    await collector.until(({ spans }) => spans.length === 4);
    const own = collector.spans.find(({ kind }) => kind === 2)!;
    expect(own.parentSpanId).toBeUndefined();
    expect(own.traceId).toMatch(/^[0-9a-f]{32}$/);
  });

  it("follow the sampling of the caller, and of the environment", async () => {
    const { collector, respond, telemetry } = await start();
    await respond({ traceparent: `00-${trace}-${caller}-00` });
    await respond();
    await collector.until(({ spans }) => spans.length === 4);
    expect(collector.spans.some(({ traceId }) => traceId === trace)).toBe(false);
    // It counts them once the collector has answered.
    await vi.waitFor(() =>
      expect(telemetry.figures).toMatchObject({ spansExported: 4, spansDropped: 0 }),
    );
    const off = await start({ env: { OTEL_TRACES_SAMPLER: "always_off" } });
    await off.respond();
    await off.collector.until(({ metrics }) => metrics.length === 4);
    expect(off.collector.spans).toEqual([]);
  });

  it("carry the headers, the name and the attributes of the environment", async () => {
    const env = {
      OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20secret",
      OTEL_SERVICE_NAME: "my-server",
      OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
    };
    const { collector, respond } = await start({ env });
    await respond();
    await collector.until(({ spans }) => spans.length === 4);
    const { headers, body } = collector.received.find(({ path }) => path === "/v1/traces")!;
    expect(headers.authorization).toBe("Bearer secret");
    for (const said of ["my-server", "deployment.environment.name", names.schemaUrl])
      expect(body.toString()).toContain(said);
  });
});

it("metrics have the conventions' names, units and buckets", async () => {
  const { collector, respond, engine } = await start();
  await respond();
  engine.script = (run) => {
    run.start();
    run.end({ kind: "failed", code: "worker_crashed", message: "words" });
  };
  await respond();
  await collector.until(({ metrics }) => metrics[0]?.points.length === 2);
  const { metrics } = collector;
  for (const { name, unit, bounds } of Object.values(names.metrics)) {
    const metric = metrics.find((one) => one.name === name);
    expect([metric?.unit, metric?.points[0]?.bounds]).toEqual([unit, bounds]);
  }
  const countsOf = (name: string) =>
    metrics
      .find((one) => one.name === name)!
      .points.map(({ attributes, count, sum }) => [
        attributes["error.type"] ?? attributes["gen_ai.token.type"],
        count,
        sum,
      ]);
  expect(countsOf("gen_ai.server.request.duration")).toEqual([
    [undefined, 1, 0.01],
    ["worker_crashed", 1, 0.01],
  ]);
  expect(countsOf("gen_ai.server.time_to_first_token")).toEqual([[undefined, 1, 0.002]]);
  expect(countsOf("gen_ai.client.token.usage")).toEqual([
    ["input", 2, 14],
    ["output", 2, 5],
  ]);
});

it("speaks protobuf by default", async () => {
  const { collector, respond } = await start({
    env: { OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf" },
  });
  await respond();
  await collector.until(({ received }) => received.some(({ path }) => path === "/v1/traces"));
  const { headers, body } = collector.received.find(({ path }) => path === "/v1/traces")!;
  expect(headers["content-type"]).toBe("application/x-protobuf");
  expect(body.includes("gen_ai.operation.name")).toBe(true);
});

describe("an endpoint", () => {
  it("that refuses is a line in the log, and in the way of nothing", async () => {
    const { respond, lines, telemetry } = await start({
      url: "http://127.0.0.1:1",
      env: { OTEL_EXPORTER_OTLP_TIMEOUT: "500" },
    });
    for (let i = 0; i < 20; i++) expect((await respond()).ending).toEqual({ kind: "stop" });
    await vi.waitFor(() => expect(lines.length).toBe(2), { timeout: 20_000 });
    expect(lines.toSorted()).toEqual([
      expect.stringMatching(/^telemetry: metrics can't be sent.*127\.0\.0\.1:1.*ECONNREFUSED/),
      expect.stringMatching(/^telemetry: traces can't be sent.*127\.0\.0\.1:1.*ECONNREFUSED/),
    ]);
    expect(telemetry.figures.spansDropped).toBeGreaterThan(0);
    expect(telemetry.figures.failures.traces).toBeGreaterThan(0);
  }, 30_000);

  it("that hangs keeps a bounded number of spans, and nobody waiting at the end", async () => {
    const { collector, respond, lines, telemetry } = await start({
      env: { OTEL_BSP_MAX_QUEUE_SIZE: "10", OTEL_TRACES_SAMPLER: "always_on" },
    });
    collector.mood = "hang";
    for (let i = 0; i < 50; i++) await respond();
    // Two traces of four spans have room; all others are counted and gone.
    expect(telemetry.figures.spansDropped).toBe(48 * 4);
    expect(lines.filter((line) => line.includes("more spans than can be sent")).length).toBe(1);
    await telemetry.close();
    expect(telemetry.figures.spansExported).toBe(0);
  });

  it("that says no is named with its status", async () => {
    const { collector, respond, lines } = await start();
    collector.mood = 401;
    await respond();
    await vi.waitFor(() => expect(lines.length).toBe(2));
    for (const line of lines) expect(line).toMatch(/"reason":"[^"]*(401|Unauthorized)/);
  });
});

it("what can't be told is no fault of the request", async () => {
  const { engine, respond, lines } = await start();
  engine.operator.timeline = () => {
    throw new Error("broken");
  };
  expect((await respond()).ending).toEqual({ kind: "stop" });
  expect(lines[0]).toContain("broken");
});

it("sends what waits at its end, and then listens to nobody", async () => {
  const { collector, respond, telemetry } = await start({
    env: { OTEL_BSP_SCHEDULE_DELAY: "60000", OTEL_METRIC_EXPORT_INTERVAL: "60000" },
  });
  await respond();
  expect(collector.received).toEqual([]);
  await telemetry.close();
  expect([collector.spans.length, collector.metrics.length]).toEqual([4, 4]);
  await respond();
  await telemetry.close();
  expect(collector.spans.length).toBe(4);
});
