import { describe, expect, it } from "vitest";
import { startServer } from "../../support/test-server.js";
import { openSocket } from "../../support/test-socket.js";

const chat = { messages: [{ role: "user", content: "my secret prompt" }] };

describe("/metrics", () => {
  const parse = (text: string) =>
    new Map(
      text
        .split("\n")
        .filter((line) => line !== "" && !line.startsWith("#"))
        .map((line) => {
          const at = line.lastIndexOf(" ");
          return [line.slice(0, at), Number(line.slice(at + 1))] as const;
        }),
    );

  it("counts requests, tokens and times under vLLM's names with our prefix", async () => {
    const { get, post } = await startServer();
    for (let i = 0; i < 2; i++) await post("/v1/chat/completions", chat);
    const answer = await get("/metrics");
    expect(answer.headers.get("content-type")).toContain("text/plain");
    const values = parse(await answer.text());
    const model = 'model_name="org/first"';
    const value = (name: string, labels = model) => values.get(`mlx_serving:${name}{${labels}}`);
    expect(value("prompt_tokens_total")).toBe(14);
    expect(value("generation_tokens_total")).toBe(10);
    expect(value("prefix_cache_queries_total")).toBe(14);
    expect(value("prefix_cache_hits_total")).toBe(6);
    expect(value("request_success_total", `${model},finished_reason="stop"`)).toBe(2);
    expect(value("time_to_first_token_seconds_count")).toBe(2);
    expect(value("time_to_first_token_seconds_bucket", `${model},le="0.001"`)).toBe(0);
    expect(value("time_to_first_token_seconds_bucket", `${model},le="0.005"`)).toBe(2);
    expect(value("inter_token_latency_seconds_count")).toBe(8);
    expect(value("inter_token_latency_seconds_sum")).toBeCloseTo(0.016);
    expect(value("inter_token_latency_seconds_bucket", `${model},le="+Inf"`)).toBe(8);
    expect(value("e2e_request_latency_seconds_count")).toBe(2);
    expect(value("num_requests_running")).toBe(0);
    expect(value("num_requests_waiting")).toBe(6);
    expect(value("kv_cache_usage_perc")).toBe(0.25);
    expect(values.has("process_resident_memory_bytes")).toBe(true);
  });

  it("counts refusals, lost workers, sockets", async () => {
    const { get, engine, url } = await startServer();
    await openSocket(url);
    engine.tellObservers((observer) => {
      observer.refused?.({ code: "queue_full", status: 429, model: "org/first" });
      observer.workerLost?.({ workerId: "w1", epoch: 1, fault: "exited", leases: 2 });
      observer.rejection?.({ machine: "Worker", kind: "stale", state: "ready", event: "pong" });
    });
    const values = parse(await (await get("/metrics")).text());
    expect(
      values.get('mlx_serving:requests_refused_total{model_name="org/first",code="queue_full"}'),
    ).toBe(1);
    expect(values.get('mlx_serving:workers_lost_total{worker="w1",fault="exited"}')).toBe(1);
    expect(values.get('mlx_serving:machine_rejections_total{machine="Worker",kind="stale"}')).toBe(
      1,
    );
    expect(values.get("mlx_serving:websocket_connections")).toBe(1);
  });
});

const look = {
  type: "function",
  name: "look",
  parameters: { type: "object", properties: {} },
};

describe("turns in /metrics", () => {
  const linesOf = async (get: (path: string) => Promise<Response>, names: RegExp) =>
    (await (await get("/metrics")).text())
      .split("\n")
      .filter((line) => names.test(line) && !line.startsWith("#"));

  it("count calls, whole and broken off, and tokens of reasoning", async () => {
    const { get, post, engine } = await startServer();
    engine.script = (run) => {
      run.start();
      run.speak(["reasoning", "Hm"]);
      run.speak(["reasoning", ""]);
      run.speak(["call", "look"], ["arguments", "{}"], ["callEnd", true]);
      run.speak(["call", "look"], ["arguments", "{}"], ["callEnd", true]);
      run.speak(["call", "look"], ["arguments", "{"]);
      run.end({ kind: "length" });
    };
    await post("/v1/responses", { input: "Look.", tools: [look] });
    await post("/v1/responses", { input: "Look again.", tools: [look] });
    const model = 'model_name="org/first"';
    expect(await linesOf(get, /tool_calls_total|reasoning_tokens_total|forced_tokens/)).toEqual([
      `mlx_serving:reasoning_tokens_total{${model}} 4`,
      `mlx_serving:forced_tokens_total{${model}} 0`,
      `mlx_serving:tool_calls_total{${model},outcome="complete"} 4`,
      `mlx_serving:tool_calls_total{${model},outcome="broken_off"} 2`,
    ]);
  });

  it("count nothing of an answer without a call", async () => {
    const { get, post } = await startServer();
    await post("/v1/chat/completions", chat);
    expect(await linesOf(get, /tool_calls_total/)).toEqual([]);
  });

  it("count the tokens that were forced", async () => {
    const { get, engine, post } = await startServer();
    await post("/v1/responses", { input: "Hi" });
    const { log } = engine.runs[0]!;
    const times = { e2eMs: 1, queueMs: 0, ttftMs: 1 };
    const asked = { operation: "chat", origin: undefined } as const;
    const calls = { made: 0, complete: 0 };
    const usage = { ...log.usage, forcedTokens: 12 };
    engine.tellObservers((observer) =>
      observer.ended?.(log, { ending: { kind: "stop" }, usage, calls, ...times, ...asked }),
    );
    expect(await linesOf(get, /forced_tokens/)).toEqual([
      'mlx_serving:forced_tokens_total{model_name="org/first"} 12',
    ]);
  });
});

describe("refused schemas in /metrics", () => {
  const refusalsOf = async (get: (path: string) => Promise<Response>) =>
    (await (await get("/metrics")).text())
      .split("\n")
      .filter((line) => line.startsWith("mlx_serving:schemas_refused_total{"))
      .map((line) => line.slice(line.indexOf("{")))
      .toSorted();
  const asking = (schema: object) => ({ input: "Hi", text: { format: formatOf(schema) } });
  const formatOf = (schema: object) => ({ type: "json_schema", name: "answer", schema });

  it("are counted by the keyword that is to blame, whichever API they came to", async () => {
    const { get, post } = await startServer();
    const not = { type: "object", properties: { secret: { not: {} } } };
    expect((await post("/v1/responses", asking(not))).status).toBe(400);
    const nested = { type: "json_schema", json_schema: { name: "a", schema: not } };
    expect((await post("/v1/chat/completions", { ...chat, response_format: nested })).status).toBe(
      400,
    );
    await post("/v1/chat/completions", { ...chat, guided_json: { uniqueItems: true } });
    await post("/v1/chat/completions", { ...chat, guided_json: { format: "made-up" } });
    await post("/v1/chat/completions", { ...chat, guided_json: { minLength: "long" } });
    await post("/v1/messages", {
      ...{ model: "org/first", max_tokens: 9, messages: chat.messages },
      output_config: { format: { type: "json_schema", schema: { if: {} } } },
    });
    expect(await refusalsOf(get)).toEqual([
      '{code="invalid_value",keyword="minLength"} 1',
      '{code="unsupported_parameter",keyword="format"} 1',
      '{code="unsupported_parameter",keyword="if"} 1',
      '{code="unsupported_parameter",keyword="not"} 2',
      '{code="unsupported_parameter",keyword="uniqueItems"} 1',
    ]);
  });

  it("never bear a name of the client's", async () => {
    const { get, post } = await startServer();
    await post("/v1/responses", asking({ properties: { mySecret: 7 } }));
    await post("/v1/responses", asking({ anyOf: [{}, 7] }));
    await post("/v1/chat/completions", { ...chat, guided_regex: "(?=x)" });
    expect(await refusalsOf(get)).toEqual([
      '{code="invalid_value",keyword="schema"} 2',
      '{code="unsupported_parameter",keyword="schema"} 1',
    ]);
  });

  it("are counted on a socket too, and other errors are not", async () => {
    const { get, post, url } = await startServer();
    const socket = await openSocket(url);
    const body = { type: "response.create", ...asking({ contains: {} }) };
    socket.send(body);
    await socket.type("error");
    await post("/v1/responses", { input: 7 });
    expect(await refusalsOf(get)).toEqual(['{code="unsupported_parameter",keyword="contains"} 1']);
  });
});

describe("the metrics of grammars", () => {
  it("are a worker's counts, with compile times as a histogram in seconds", async () => {
    const { get, engine } = await startServer();
    const times: [number, number][] = [
      [1, 3],
      [10, 0],
      [100, 2],
    ];
    engine.telemetry = {
      grammars: {
        ...{ requests: 9, refused: 1, compiled: 6, compileMs: 2_500, masks: 400, maskMs: 8 },
        compileTimes: times,
      },
    };
    const text = await (await get("/metrics")).text();
    const lines = text
      .split("\n")
      .filter((line) => /worker_grammar|worker_constrained/.test(line) && !line.startsWith("#"));
    const name = "mlx_serving:worker_grammar_compile_time_seconds";
    expect(lines).toEqual([
      'mlx_serving:worker_constrained_requests_total{worker="w1"} 9',
      'mlx_serving:worker_grammars_refused_total{worker="w1"} 1',
      'mlx_serving:worker_grammars_compiled_total{worker="w1"} 6',
      'mlx_serving:worker_grammar_compile_seconds_total{worker="w1"} 2.5',
      'mlx_serving:worker_grammar_masks_total{worker="w1"} 400',
      'mlx_serving:worker_grammar_mask_seconds_total{worker="w1"} 0.008',
      `${name}_bucket{worker="w1",le="0.001"} 3`,
      `${name}_bucket{worker="w1",le="0.01"} 3`,
      `${name}_bucket{worker="w1",le="0.1"} 5`,
      `${name}_bucket{worker="w1",le="+Inf"} 6`,
      `${name}_sum{worker="w1"} 2.5`,
      `${name}_count{worker="w1"} 6`,
    ]);
    expect(text).toContain(`# TYPE ${name} histogram`);
  });
});

it("says what a worker takes of the memory", async () => {
  const { get, engine } = await startServer();
  const text = async () => (await get("/metrics")).text();
  expect(await text()).not.toContain("worker_memory_bytes{");
  engine.telemetry = { memoryBytes: 4096 };
  expect(await text()).toContain('mlx_serving:worker_memory_bytes{worker="w1"} 4096\n');
});

it("says what a token takes in a KV cache", async () => {
  const { get } = await startServer();
  expect(await (await get("/metrics")).text()).toContain(
    'mlx_serving:worker_kv_bytes_per_token{worker="w1",bits="8"} 23\n',
  );
});

describe("the metrics of prompt caches", () => {
  const prefixes = {
    ...{ entries: 40, hitTokens: 900, neverSeenTokens: 50, evictedTokens: 40, otherSaltTokens: 30 },
    ...{ belowBlockTokens: 20, evictions: 7 },
  };

  it("are a worker's counts, misses with their reasons", async () => {
    const { get, engine } = await startServer();
    const lines = async () =>
      (await (await get("/metrics")).text())
        .split("\n")
        .filter((line) => line.startsWith("mlx_serving:worker_prefix_"));
    engine.telemetry = { prefixCacheBytes: 5 };
    expect(await lines()).toEqual([]);
    engine.telemetry = { prefixCacheBytes: 4096, prefixes };
    expect(await lines()).toEqual([
      'mlx_serving:worker_prefix_hit_tokens_total{worker="w1"} 900',
      'mlx_serving:worker_prefix_missed_tokens_total{worker="w1",reason="never_seen"} 50',
      'mlx_serving:worker_prefix_missed_tokens_total{worker="w1",reason="evicted"} 40',
      'mlx_serving:worker_prefix_missed_tokens_total{worker="w1",reason="other_key"} 30',
      'mlx_serving:worker_prefix_missed_tokens_total{worker="w1",reason="below_block"} 20',
      'mlx_serving:worker_prefix_evictions_total{worker="w1"} 7',
      'mlx_serving:worker_prefix_entries{worker="w1"} 40',
      'mlx_serving:worker_prefix_bytes{worker="w1"} 4096',
    ]);
  });
});

describe("the figures of the prefix cache's tier on disk", () => {
  const prefixDisk = {
    ...{ on: true, blocks: 31, bytes: 4096, pending: 2, hits: 5, hitTokens: 320, misses: 3 },
    ...{ writes: 33, drops: 1, evictions: 2, unfit: 4, readErrors: 6, writeErrors: 7, slow: 8 },
  };

  it("are a worker's counts, and say whether it could be used", async () => {
    const { get, engine } = await startServer();
    const lines = async () =>
      (await (await get("/metrics")).text())
        .split("\n")
        .filter((line) => line.startsWith("mlx_serving:worker_prefix_disk_"))
        .map((line) => line.replace("mlx_serving:worker_prefix_disk_", ""));
    engine.telemetry = { prefixCacheBytes: 5 };
    expect(await lines()).toEqual([]);
    engine.telemetry = { prefixCacheBytes: 5, prefixDisk };
    expect(await lines()).toEqual([
      'on{worker="w1"} 1',
      'hits_total{worker="w1"} 5',
      'hit_tokens_total{worker="w1"} 320',
      'misses_total{worker="w1"} 3',
      'writes_total{worker="w1"} 33',
      'drops_total{worker="w1"} 1',
      'evictions_total{worker="w1"} 2',
      'slow_total{worker="w1"} 8',
      'errors_total{worker="w1",kind="read"} 6',
      'errors_total{worker="w1",kind="write"} 7',
      'errors_total{worker="w1",kind="unfit"} 4',
      'blocks{worker="w1"} 31',
      'bytes{worker="w1"} 4096',
      'pending{worker="w1"} 2',
    ]);
    engine.telemetry = { prefixCacheBytes: 5, prefixDisk: { ...prefixDisk, on: false } };
    expect((await lines())[0]).toBe('on{worker="w1"} 0');
  });
});

describe("the metrics of workers", () => {
  const linesOf = async (get: (path: string) => Promise<Response>) =>
    (await (await get("/metrics")).text())
      .split("\n")
      .filter((line) => /worker_request|worker_buffer|native_part/.test(line));

  it("are what they have counted, in seconds, under their names", async () => {
    const { get } = await startServer();
    const lines = await linesOf(get);
    expect(lines.filter((line) => !line.startsWith("# HELP"))).toEqual([
      "# TYPE mlx_serving:worker_requests_total counter",
      'mlx_serving:worker_requests_total{worker="w1",outcome="completed"} 4',
      'mlx_serving:worker_requests_total{worker="w1",outcome="failed"} 1',
      "# TYPE mlx_serving:worker_request_latency_seconds summary",
      'mlx_serving:worker_request_latency_seconds{worker="w1",quantile="0.5"} 0.2005',
      'mlx_serving:worker_request_latency_seconds{worker="w1",quantile="0.95"} 0.4',
      'mlx_serving:worker_request_latency_seconds{worker="w1",quantile="0.99"} 0.5',
      'mlx_serving:worker_request_latency_seconds_sum{worker="w1"} 1',
      'mlx_serving:worker_request_latency_seconds_count{worker="w1"} 4',
      "# TYPE mlx_serving:worker_buffer_pool_size gauge",
      'mlx_serving:worker_buffer_pool_size{worker="w1"} 16',
      "# TYPE mlx_serving:worker_buffer_pool_available gauge",
      'mlx_serving:worker_buffer_pool_available{worker="w1"} 15',
      "# TYPE mlx_serving:worker_buffer_pool_acquired_total counter",
      'mlx_serving:worker_buffer_pool_acquired_total{worker="w1",result="hit"} 6',
      'mlx_serving:worker_buffer_pool_acquired_total{worker="w1",result="miss"} 3',
      "# TYPE mlx_serving:native_part gauge",
      'mlx_serving:native_part{worker="w1",part="pool"} 1',
      'mlx_serving:native_part{worker="w1",part="metrics"} 0',
    ]);
    expect(lines.filter((line) => line.startsWith("# HELP"))).toHaveLength(6);
  });

  it("are read anew each time, and those of a new process begin at zero", async () => {
    const { get, engine } = await startServer();
    await linesOf(get);
    const before = engine.native!;
    engine.native = {
      ...before,
      metrics: { ...before.metrics!, completedRequests: 1, failedRequests: 0 },
    };
    const lines = await linesOf(get);
    expect(lines).toContain('mlx_serving:worker_requests_total{worker="w1",outcome="completed"} 1');
    expect(lines).toContain('mlx_serving:worker_requests_total{worker="w1",outcome="failed"} 0');
  });

  it("are absent while a worker has told nothing, and without a pool", async () => {
    const { get, engine } = await startServer();
    const samples = async () => (await linesOf(get)).filter((line) => !line.startsWith("#"));
    engine.native = { ...engine.native!, pool: null };
    expect((await samples()).join("\n")).not.toContain("buffer_pool");
    engine.native = { parts: {}, metrics: null, pool: null };
    expect(await samples()).toEqual([]);
    engine.native = null;
    expect(await samples()).toEqual([]);
  });
});

describe("logs", () => {
  it("name routes and ids, and never a prompt", async () => {
    const { post, logs } = await startServer();
    await post("/v1/chat/completions", chat, { headers: { "x-request-id": "mine" } });
    await post("/v1/chat/completions", "{ my secret prompt");
    await post("/v1/responses", { input: ["my secret prompt"] });
    const all = logs.join("\n");
    expect(all).toContain("/v1/chat/completions");
    expect(all).toContain("mine");
    expect(all).not.toContain("secret");
  });
});

describe("the echo for conformance suites", () => {
  it("sends back what it gets, with this server's limits", async () => {
    const { server } = await startServer({ wsEchoPort: 0, limits: { frameBytesMax: 1000 } });
    const { default: WebSocket } = await import("ws");
    const ws = new WebSocket(`ws://127.0.0.1:${server.echoPort}`);
    await new Promise((resolve) => ws.once("open", resolve));
    const next = () =>
      new Promise<[string, boolean]>((resolve) =>
        ws.once("message", (data, isBinary) => resolve([String(data), isBinary])),
      );
    ws.send("text");
    expect(await next()).toEqual(["text", false]);
    ws.send(Buffer.from("bytes"));
    expect(await next()).toEqual(["bytes", true]);
    const pong = new Promise((resolve) => ws.once("pong", (data) => resolve(String(data))));
    ws.ping("p");
    expect(await pong).toBe("p");
    const closed = new Promise((resolve) => ws.once("close", resolve));
    ws.send("x".repeat(1001));
    expect(await closed).toBe(1009);
  });
});
