/** GET /metrics: vLLM's names under our prefix, and a few of our own. Fed by the engine's observer. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import type { CallCounts, Engine, EngineObserver, WorkerInfo } from "../../engine/api.js";
import type { TelemetryFigures } from "../options.js";
import { ModelHistogram, type Series, type Totals } from "./histogram.js";
import type { KeyUse } from "./key-use.js";
import { addReliabilityMetrics, type Resumes } from "./reliability-metrics.js";
import type { SchemaRefusals } from "./schema-refusals.js";
import { addTelemetryMetrics } from "./telemetry-metrics.js";
import { addWorkerMetrics, kvUseOf } from "./worker-metrics.js";

const prefix = "mlx_serving:";

// Buckets as in vLLM, so that its dashboards fit.
const ttftBounds = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
];
const tokenBounds = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5,
];
const requestBounds = [0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240];
const countBounds = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000];

/** Who else has counted. `telemetry`: only where it is on. */
export interface MetricsParts {
  refusals: SchemaRefusals;
  keyUse: KeyUse;
  resumes: Resumes;
  telemetry?: TelemetryFigures | undefined;
}

/** What is counted for one model on every token. */
interface HotSeries {
  ttft: Series;
  interToken: Series;
}

export class Metrics {
  private readonly registry = new Registry();
  private readonly hot = new Map<string, HotSeries>();
  private readonly stop: () => void;

  private readonly ttft = this.histogram(
    "time_to_first_token_seconds",
    "Time from arrival to the first token.",
    ttftBounds,
  );
  private readonly interToken = this.histogram(
    "inter_token_latency_seconds",
    "Time between two tokens of a response.",
    tokenBounds,
  );
  private readonly e2e = this.histogram(
    "e2e_request_latency_seconds",
    "Time from arrival to the end.",
    requestBounds,
  );
  private readonly queue = this.histogram(
    "request_queue_time_seconds",
    "Time from arrival to the start of work.",
    requestBounds,
  );
  private readonly promptSize = this.histogram(
    "request_prompt_tokens",
    "Prompt tokens of a request.",
    countBounds,
  );
  private readonly generationSize = this.histogram(
    "request_generation_tokens",
    "Generated tokens of a request.",
    countBounds,
  );
  private readonly promptTokens = this.counter("prompt_tokens_total", "Prompt tokens.");
  private readonly generationTokens = this.counter("generation_tokens_total", "Generated tokens.");
  private readonly reasoningTokens = this.counter(
    "reasoning_tokens_total",
    "Generated tokens inside of reasoning.",
  );
  private readonly forcedTokens = this.counter(
    "forced_tokens_total",
    "Generated tokens of which the model had no choice.",
  );
  private readonly toolCalls = this.counter(
    "tool_calls_total",
    "Calls of tools; broken_off: the answer ended in the middle of it.",
    ["outcome"],
  );
  private readonly prefixQueries = this.counter(
    "prefix_cache_queries_total",
    "Prompt tokens looked up in the prefix cache.",
  );
  private readonly prefixHits = this.counter(
    "prefix_cache_hits_total",
    "Prompt tokens found in the prefix cache.",
  );
  private readonly finished = this.counter("request_success_total", "Ended requests.", [
    "finished_reason",
  ]);
  private readonly refused = this.counter("requests_refused_total", "Requests turned away.", [
    "code",
  ]);
  private readonly lost = new Counter({
    name: `${prefix}workers_lost_total`,
    help: "Workers that died or were given up.",
    labelNames: ["worker", "fault"],
    registers: [this.registry],
  });
  private readonly rejections = new Counter({
    name: `${prefix}machine_rejections_total`,
    help: "Events that a state machine refused.",
    labelNames: ["machine", "kind"],
    registers: [this.registry],
  });

  constructor(
    engine: Engine,
    sockets: { readonly size: number },
    { refusals, keyUse, resumes, telemetry }: MetricsParts,
  ) {
    collectDefaultMetrics({ register: this.registry });
    this.workerGauges(engine);
    addWorkerMetrics(this.registry, prefix, () => engine.workers());
    refusals.register(this.registry, prefix);
    keyUse.register(this.registry, prefix);
    this.socketGauge(sockets);
    const stopReliability = addReliabilityMetrics(this.registry, prefix, engine, resumes);
    if (telemetry !== undefined) addTelemetryMetrics(this.registry, prefix, telemetry);
    const stopOwn = engine.observe(this.observer());
    this.stop = () => {
      stopReliability();
      stopOwn();
    };
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  text(): Promise<string> {
    return this.registry.metrics();
  }

  /** Seconds, over all models, since the start. */
  latencies(): { ttft: Totals; interToken: Totals } {
    return { ttft: this.ttft.totals(), interToken: this.interToken.totals() };
  }

  close(): void {
    this.stop();
    this.registry.clear();
  }

  private observer(): EngineObserver {
    return {
      delta: ({ model }, { tokens, gapMs, first }) => {
        const series = this.hotOf(model);
        if (first) series.ttft.observe(gapMs / 1000);
        else if (tokens > 0) series.interToken.observe(gapMs / 1000 / tokens, tokens);
      },
      ended: (response, info) => this.ended(response.model, info),
      refused: ({ code, model }) => this.refused.inc({ model_name: model ?? "", code }),
      workerLost: ({ workerId, fault }) => this.lost.inc({ worker: workerId, fault }),
      rejection: ({ machine, kind }) => this.rejections.inc({ machine, kind }),
    };
  }

  private ended(
    model: string,
    { ending, usage, calls, e2eMs, queueMs }: Parameters<NonNullable<EngineObserver["ended"]>>[1],
  ): void {
    this.e2e.of(model).observe(e2eMs / 1000);
    this.queue.of(model).observe(queueMs / 1000);
    this.promptSize.of(model).observe(usage.promptTokens);
    this.generationSize.of(model).observe(usage.completionTokens);
    const labels = { model_name: model };
    this.promptTokens.inc(labels, usage.promptTokens);
    this.generationTokens.inc(labels, usage.completionTokens);
    this.reasoningTokens.inc(labels, usage.reasoningTokens);
    this.forcedTokens.inc(labels, usage.forcedTokens ?? 0);
    this.countCalls(labels, calls);
    this.prefixQueries.inc(labels, usage.promptTokens);
    this.prefixHits.inc(labels, usage.cachedTokens);
    this.finished.inc({ ...labels, finished_reason: ending.kind });
  }

  private countCalls(labels: { model_name: string }, { made, complete }: CallCounts): void {
    if (complete > 0) this.toolCalls.inc({ ...labels, outcome: "complete" }, complete);
    if (made > complete) this.toolCalls.inc({ ...labels, outcome: "broken_off" }, made - complete);
  }

  private hotOf(model: string): HotSeries {
    let series = this.hot.get(model);
    if (series === undefined) {
      series = { ttft: this.ttft.of(model), interToken: this.interToken.of(model) };
      this.hot.set(model, series);
    }
    return series;
  }

  private workerGauges(engine: Engine): void {
    this.perModel("num_requests_running", "Requests that a worker runs.", engine, ({ running }) => [
      running,
    ]);
    // Both are the model's, and every worker of it reports them.
    this.perModel(
      "num_requests_waiting",
      "Requests that wait for a worker.",
      engine,
      ({ queued, preparing, storing }) => [queued + preparing + storing],
      Math.max,
    );
    const kvUse = (worker: WorkerInfo) => {
      const used = kvUseOf([worker]);
      return used === undefined ? [] : [used];
    };
    const name = "kv_cache_usage_perc";
    this.perModel(name, "Used part of the KV cache, 0 to 1.", engine, kvUse, Math.max);
    this.workerStates(engine);
  }

  private perModel(
    name: string,
    help: string,
    engine: Engine,
    read: (worker: WorkerInfo) => number[],
    merge: (a: number, b: number) => number = (a, b) => a + b,
  ): void {
    new Gauge({
      name: `${prefix}${name}`,
      help,
      labelNames: ["model_name"],
      registers: [this.registry],
      collect() {
        this.reset();
        const merged = new Map<string, number>();
        for (const worker of engine.workers())
          for (const value of read(worker))
            merged.set(worker.model, merge(merged.get(worker.model) ?? 0, value));
        for (const [model, value] of merged) this.set({ model_name: model }, value);
      },
    });
  }

  private workerStates(engine: Engine): void {
    new Gauge({
      name: `${prefix}worker_state`,
      help: "1 for the state that a worker is in.",
      labelNames: ["worker", "model_name", "state"],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { id, model, state } of engine.workers())
          this.set({ worker: id, model_name: model, state }, 1);
      },
    });
  }

  private socketGauge(sockets: { readonly size: number }): void {
    new Gauge({
      name: `${prefix}websocket_connections`,
      help: "Open WebSockets.",
      registers: [this.registry],
      collect() {
        this.set(sockets.size);
      },
    });
  }

  private histogram(name: string, help: string, bounds: readonly number[]): ModelHistogram {
    return new ModelHistogram(`${prefix}${name}`, help, bounds, this.registry);
  }

  private counter<const L extends string = never>(
    name: string,
    help: string,
    labels: readonly L[] = [],
  ): Counter<"model_name" | L> {
    return new Counter({
      name: `${prefix}${name}`,
      help,
      labelNames: ["model_name", ...labels],
      registers: [this.registry],
    });
  }
}
