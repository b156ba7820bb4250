/**
 * What each worker has counted itself, and which native parts it uses. The figures are of its present
 * process: after a restart they begin at zero, which is what Prometheus takes a reset for.
 */
import { Counter, Gauge, type Metric, type Registry } from "prom-client";
import type {
  DiskFigures,
  GrammarFigures,
  NativeMetrics,
  NativePool,
  PrefixFigures,
  WorkerInfo,
} from "../../engine/api.js";

type Workers = () => readonly WorkerInfo[];

interface Value {
  value: number;
  labels: Record<string, string | number>;
}

interface Described {
  name: string;
  help: string;
  registry: Registry;
}

/** The used part of what running requests have of their KV caches; undefined: no worker tells how much that is. */
export function kvUseOf(workers: readonly WorkerInfo[]): number | undefined {
  const sum = (of: (worker: WorkerInfo) => unknown) =>
    workers.reduce((total, worker) => total + Number(of(worker) ?? 0), 0);
  const budget = sum(({ limits }) => limits?.kvBudgetBytes);
  // One that runs alone may have more, of the prefix cache's.
  return budget > 0 ? Math.min(1, sum(({ telemetry }) => telemetry?.kvBytes) / budget) : undefined;
}

export function addWorkerMetrics(registry: Registry, prefix: string, workers: Workers): void {
  const named = (name: string, help: string) => ({ name: `${prefix}${name}`, help, registry });
  addCounter(
    named("worker_requests_total", "Requests that a worker has ended."),
    "outcome",
    valuesOf(workers, requestsOf),
  );
  addSummary(
    named("worker_request_latency_seconds", "Time from admission by a worker to the end."),
    workers,
  );
  addGauge(
    named("worker_buffer_pool_size", "Buffers in a worker's pool."),
    valuesOf(workers, ({ native }) => pooled(native?.pool, ({ poolSize }) => poolSize)),
  );
  addGauge(
    named("worker_buffer_pool_available", "Of them, free."),
    valuesOf(workers, ({ native }) => pooled(native?.pool, ({ available }) => available)),
  );
  addCounter(
    named("worker_buffer_pool_acquired_total", "Buffers taken; a miss had to be made for it."),
    "result",
    valuesOf(workers, acquiredOf),
  );
  for (const [figure, name, help, unit] of grammarCounters)
    addCounter(
      named(name, help),
      undefined,
      valuesOf(workers, ({ telemetry }) => grammarFigure(telemetry, figure, unit)),
    );
  addCompileTimes(
    named("worker_grammar_compile_time_seconds", "What compiling one grammar took."),
    workers,
  );
  addPrefixMetrics(named, workers);
  addDiskMetrics(named, workers);
  addGauge(
    named("worker_memory_bytes", "What MLX takes in a worker: weights, caches, and what it keeps."),
    valuesOf(workers, ({ telemetry }) => {
      const bytes = telemetry?.memoryBytes;
      return typeof bytes === "number" ? [{ value: bytes, labels: {} }] : [];
    }),
  );
  addGauge(
    named("worker_kv_bytes_per_token", "What a token takes in a KV cache, and with how many bits."),
    valuesOf(workers, ({ limits }) =>
      limits === undefined
        ? []
        : [{ value: limits.kvBytesPerToken, labels: { bits: limits.kvBits || "none" } }],
    ),
    ["bits"],
  );
  addGauge(
    named("native_part", "1 if a worker uses this native part; only parts that could be of use."),
    valuesOf(workers, partsOf),
    ["part"],
  );
}

function valuesOf(workers: Workers, read: (worker: WorkerInfo) => Value[]): () => Value[] {
  return () =>
    workers().flatMap((worker) =>
      read(worker).map(({ value, labels }) => ({
        value,
        labels: { worker: worker.id, ...labels },
      })),
    );
}

function requestsOf({ native }: WorkerInfo): Value[] {
  const metrics = native?.metrics;
  if (metrics == null) return [];
  return [
    { value: metrics.completedRequests, labels: { outcome: "completed" } },
    { value: metrics.failedRequests, labels: { outcome: "failed" } },
  ];
}

function pooled(pool: NativePool | null | undefined, read: (pool: NativePool) => number): Value[] {
  return pool == null ? [] : [{ value: read(pool), labels: {} }];
}

function acquiredOf({ native }: WorkerInfo): Value[] {
  const pool = native?.pool;
  if (pool == null) return [];
  return [
    { value: pool.cacheHits, labels: { result: "hit" } },
    { value: pool.cacheMisses, labels: { result: "miss" } },
  ];
}

function partsOf({ native }: WorkerInfo): Value[] {
  return Object.entries(native?.parts ?? {})
    .filter(([, { applicable }]) => applicable)
    .map(([part, { on }]) => ({ value: on ? 1 : 0, labels: { part } }));
}

function addGauge({ name, help, registry }: Described, read: () => Value[], more: string[] = []) {
  new Gauge({
    name,
    help,
    labelNames: ["worker", ...more],
    registers: [registry],
    collect() {
      this.reset();
      for (const { labels, value } of read()) this.set(labels, value);
    },
  });
}

/** Figure, name, help, and how many of it make one. */
const grammarCounters = [
  [
    "requests",
    "worker_constrained_requests_total",
    "Ended requests that were kept to a schema or a grammar.",
    1,
  ],
  ["refused", "worker_grammars_refused_total", "Grammars that could not be compiled.", 1],
  [
    "compiled",
    "worker_grammars_compiled_total",
    "Grammars that were compiled; others were known.",
    1,
  ],
  ["compileMs", "worker_grammar_compile_seconds_total", "What compiling took.", 1000],
  ["masks", "worker_grammar_masks_total", "Draws that were kept to a grammar.", 1],
  ["maskMs", "worker_grammar_mask_seconds_total", "What finding out took that was allowed.", 1000],
] as const;

type Named = (name: string, help: string) => Described;

/** Why a token of a prompt was not in the prefix cache: label and figure. */
const missReasons = {
  never_seen: "neverSeenTokens",
  evicted: "evictedTokens",
  other_key: "otherSaltTokens",
  below_block: "belowBlockTokens",
} as const;

function addPrefixMetrics(named: Named, workers: Workers): void {
  const read = (values: (figures: PrefixFigures) => Value[]) =>
    valuesOf(workers, ({ telemetry }) => {
      const figures = telemetry?.prefixes as PrefixFigures | undefined;
      return figures === undefined ? [] : values(figures);
    });
  const one = (value: number): Value[] => [{ value, labels: {} }];
  addCounter(
    named("worker_prefix_hit_tokens_total", "Prompt tokens that a worker had computed already."),
    undefined,
    read(({ hitTokens }) => one(hitTokens)),
  );
  addCounter(
    named("worker_prefix_missed_tokens_total", "Those that it had not, and why."),
    "reason",
    read((figures) =>
      Object.entries(missReasons).map(([reason, figure]) => ({
        value: figures[figure],
        labels: { reason },
      })),
    ),
  );
  addCounter(
    named("worker_prefix_evictions_total", "Blocks or records that made room for others."),
    undefined,
    read(({ evictions }) => one(evictions)),
  );
  addGauge(
    named("worker_prefix_entries", "Blocks of computed prompts, or whole records of them."),
    read(({ entries }) => one(entries)),
  );
  addGauge(
    named("worker_prefix_bytes", "What they take."),
    valuesOf(workers, ({ telemetry }) =>
      telemetry?.prefixes === undefined ? [] : one(Number(telemetry.prefixCacheBytes)),
    ),
  );
}

const diskCounters = [
  ["hits", "hits_total", "Blocks of prompts that a worker has read from disk."],
  ["hitTokens", "hit_tokens_total", "Their tokens."],
  ["misses", "misses_total", "Prompts that went on where no block was on disk."],
  ["writes", "writes_total", "Blocks that a worker has written."],
  ["drops", "drops_total", "Blocks that had to go before they were written."],
  ["evictions", "evictions_total", "Blocks that made room for others on disk."],
  ["slow", "slow_total", "Prompts that were computed since reading was slower."],
] as const;

/** What went wrong: label and figure. */
const diskErrors = { read: "readErrors", write: "writeErrors", unfit: "unfit" } as const;

function addDiskMetrics(named: Named, workers: Workers): void {
  const ofDisk = (name: string, help: string) => named(`worker_prefix_disk_${name}`, help);
  const read = (values: (figures: DiskFigures) => Value[]) =>
    valuesOf(workers, ({ telemetry }) => {
      const figures = telemetry?.prefixDisk as DiskFigures | undefined;
      return figures === undefined ? [] : values(figures);
    });
  const one = (value: number): Value[] => [{ value, labels: {} }];
  addGauge(
    ofDisk("on", "1 if a worker keeps prompts on disk, 0 if it was to and can't."),
    read(({ on }) => one(on ? 1 : 0)),
  );
  for (const [figure, name, help] of diskCounters)
    addCounter(
      ofDisk(name, help),
      undefined,
      read((figures) => one(figures[figure])),
    );
  addCounter(
    ofDisk("errors_total", "Reads and writes that failed, and files that are no such blocks."),
    "kind",
    read((figures) =>
      Object.entries(diskErrors).map(([kind, figure]) => ({
        value: figures[figure],
        labels: { kind },
      })),
    ),
  );
  addGauge(
    ofDisk("blocks", "Blocks on disk, of all workers that share the folder."),
    read(({ blocks }) => one(blocks)),
  );
  addGauge(
    ofDisk("bytes", "What they take."),
    read(({ bytes }) => one(bytes)),
  );
  addGauge(
    ofDisk("pending", "Blocks that wait to be written."),
    read(({ pending }) => one(pending)),
  );
}

function grammarFigure(
  telemetry: WorkerInfo["telemetry"],
  figure: string,
  perUnit: number,
): Value[] {
  const figures = telemetry?.grammars as Record<string, number> | undefined;
  return figures === undefined ? [] : [{ value: figures[figure]! / perUnit, labels: {} }];
}

function addCounter(
  { name, help, registry }: Described,
  label: string | undefined,
  read: () => Value[],
) {
  new Counter({
    name,
    help,
    labelNames: label === undefined ? ["worker"] : ["worker", label],
    registers: [registry],
    collect() {
      this.reset();
      for (const { labels, value } of read()) this.inc(labels, value);
    },
  });
}

/** As a worker has counted it. */
function addCompileTimes({ name, help, registry }: Described, workers: Workers): void {
  const get = async () => {
    const values = workers().flatMap(({ id, telemetry }) => {
      const figures = telemetry?.grammars as GrammarFigures | undefined;
      return figures === undefined ? [] : compileTimesOf(name, id, figures);
    });
    return { name, help, type: "histogram", values };
  };
  registry.registerMetric({ name, get } as unknown as Metric);
}

function compileTimesOf(name: string, worker: string, figures: GrammarFigures) {
  const { compiled, compileMs, compileTimes } = figures;
  let cumulated = 0;
  const buckets = compileTimes.map(([boundMs, count]) => {
    cumulated += count;
    return {
      metricName: `${name}_bucket`,
      value: cumulated,
      labels: { worker, le: boundMs / 1000 },
    };
  });
  return [
    ...buckets,
    { metricName: `${name}_bucket`, value: compiled, labels: { worker, le: "+Inf" } },
    { metricName: `${name}_sum`, value: compileMs / 1000, labels: { worker } },
    { metricName: `${name}_count`, value: compiled, labels: { worker } },
  ];
}

/** prom-client's own summary computes its quantiles; these come computed. */
function addSummary({ name, help, registry }: Described, workers: Workers): void {
  const get = async () => {
    const values = workers().flatMap(({ id, native }) =>
      native?.metrics == null ? [] : summaryOf(name, id, native.metrics),
    );
    return { name, help, type: "summary", values };
  };
  // A registry asks a metric for its name and its values, and nothing else of what the type has.
  registry.registerMetric({ name, get } as unknown as Metric);
}

function summaryOf(name: string, worker: string, metrics: NativeMetrics) {
  const { averageLatencyMs, completedRequests, p50LatencyMs, p95LatencyMs, p99LatencyMs } = metrics;
  const quantiles = { 0.5: p50LatencyMs, 0.95: p95LatencyMs, 0.99: p99LatencyMs };
  const sumMs = averageLatencyMs * completedRequests;
  return [
    ...Object.entries(quantiles).map(([quantile, ms]) => ({
      metricName: name,
      value: ms / 1000,
      labels: { worker, quantile },
    })),
    { metricName: `${name}_sum`, value: sumMs / 1000, labels: { worker } },
    { metricName: `${name}_count`, value: completedRequests, labels: { worker } },
  ];
}
