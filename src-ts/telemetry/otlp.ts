/**
 * The one file that knows OpenTelemetry's SDK: plain spans and figures in, OTLP over HTTP out. It is loaded only where
 * telemetry is on, and `npm run build` bundles it with the SDK, so that the package depends on none of it.
 * Registers nothing global: a program that embeds the server keeps its own providers.
 */
import { randomUUID } from "node:crypto";
import {
  type Attributes as ApiAttributes,
  type Context,
  defaultTextMapGetter,
  type Histogram,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import {
  type ExportResult,
  ExportResultCode,
  W3CTraceContextPropagator,
} from "@opentelemetry/core";
import { OTLPMetricExporter as JsonMetrics } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPMetricExporter as ProtobufMetrics } from "@opentelemetry/exporter-metrics-otlp-proto";
import { OTLPTraceExporter as JsonTraces } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufTraces } from "@opentelemetry/exporter-trace-otlp-proto";
import { detectResources, envDetector, resourceFromAttributes } from "@opentelemetry/resources";
import {
  MeterProvider,
  PeriodicExportingMetricReader,
  type PushMetricExporter,
} from "@opentelemetry/sdk-metrics";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
import type { Origin } from "../engine/api.js";
import { version } from "../protocol/version.js";
import {
  metrics as metricNames,
  attributes as names,
  schemaUrl,
  scopeName,
  serviceName,
} from "./names.js";
import type { Destination, Signal, TelemetrySettings } from "./settings.js";
import type { Attributes, Figures, SpanData } from "./spans.js";

/** Is told how each sending went, and how many spans it had. */
export interface Sendings {
  sent(signal: Signal, spans: number): void;
  failed(signal: Signal, spans: number, reason: string): void;
}

export interface Otlp {
  /** `origin`: names the trace that it is part of. */
  trace(span: SpanData, origin: Origin | undefined): void;
  record(figures: Figures): void;
  /** Sends what waits. It may take as long as the endpoint does. */
  close(): Promise<void>;
}

/** An exporter that never calls back must not keep its spans for ever. */
const exportTimeoutMs = 30_000;
const spansPerExport = 512;
/** The SDK's own, unless the environment says another. */
const otlpTimeoutMs = 10_000;

export function openOtlp(settings: TelemetrySettings, sendings: Sendings): Otlp {
  const { traces, metrics } = settings;
  const resource = resourceFromAttributes({
    "service.name": serviceName,
    "service.version": version,
    "service.instance.id": randomUUID(),
  }).merge(detectResources({ detectors: [envDetector] }));
  const tracing = traces && openTraces(traces, settings, resource, sendings);
  const metering = metrics && openMetrics(metrics, settings, resource, sendings);
  return {
    trace: (span, origin) => tracing?.trace(span, origin),
    record: (figures) => metering?.record(figures),
    close: async () => {
      await Promise.allSettled([tracing?.close(), metering?.close()]);
    },
  };
}

type Resource = ReturnType<typeof resourceFromAttributes>;

interface Tracing {
  trace(span: SpanData, origin: Origin | undefined): void;
  close(): Promise<void>;
}

function openTraces(
  { url, protocol }: Destination,
  { spansMax }: TelemetrySettings,
  resource: Resource,
  sendings: Sendings,
): Tracing {
  const inner = protocol === "http/json" ? new JsonTraces({ url }) : new ProtobufTraces({ url });
  const room = new Room(spansMax);
  type Spans = Parameters<typeof inner.export>[0];
  const send = watched<Spans>("traces", sendings, (spans, done) => inner.export(spans, done));
  const exporter = {
    export: (spans: Spans, done: (result: ExportResult) => void): void =>
      send(spans, (result) => {
        room.free(spans.length);
        done(result);
      }),
    forceFlush: () => inner.forceFlush(),
    shutdown: () => inner.shutdown(),
  };
  const processor = new BatchSpanProcessor(exporter, {
    maxQueueSize: spansMax,
    maxExportBatchSize: Math.min(spansMax, spansPerExport),
    exportTimeoutMillis: exportTimeoutMs + 1_000,
  });
  // The sampler and limits of spans are those of the environment.
  const provider = new BasicTracerProvider({ resource, spanProcessors: [processor] });
  const tracer = provider.getTracer(scopeName, version, { schemaUrl });
  const propagator = new W3CTraceContextPropagator();
  const parentOf = (origin: Origin | undefined): Context =>
    origin?.traceparent === undefined
      ? ROOT_CONTEXT
      : propagator.extract(ROOT_CONTEXT, origin, defaultTextMapGetter);
  return {
    trace(span, origin) {
      const count = 1 + span.children.length;
      if (!room.take(count)) return sendings.failed("traces", count, noRoom);
      if (!writeSpan(tracer, span, SpanKind.SERVER, parentOf(origin))) room.free(count);
    },
    close: () => provider.shutdown(),
  };
}

const noRoom = "more spans than can be sent";

/** Spans that wait or are under way: a request's are taken together, or none of them is. */
class Room {
  private taken = 0;

  constructor(private readonly max: number) {}

  take(count: number): boolean {
    if (this.taken + count > this.max) return false;
    this.taken += count;
    return true;
  }

  free(count: number): void {
    this.taken -= count;
  }
}

/** False: the sampler doesn't want it. */
function writeSpan(tracer: Tracer, span: SpanData, kind: SpanKind, parent: Context): boolean {
  const { name, startMs, endMs, attributes, events, fault, children } = span;
  const one = tracer.startSpan(name, { kind, startTime: hrTime(startMs), attributes }, parent);
  if ((one.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) return false;
  for (const event of events) one.addEvent(event.name, event.attributes, hrTime(event.atMs));
  if (fault !== undefined) one.setStatus({ code: SpanStatusCode.ERROR, message: fault });
  const own = trace.setSpan(parent, one);
  for (const child of children) writeSpan(tracer, child, SpanKind.INTERNAL, own);
  one.end(hrTime(endMs));
  return true;
}

/** Seconds and nanoseconds. A plain number is taken for monotonic time, where it is smaller than the process is old. */
const hrTime = (ms: number): [number, number] => {
  const seconds = Math.trunc(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)];
};

interface Metering {
  record(figures: Figures): void;
  close(): Promise<void>;
}

function openMetrics(
  { url, protocol }: Destination,
  { metricIntervalMs }: TelemetrySettings,
  resource: Resource,
  sendings: Sendings,
): Metering {
  // One sending is over before the next begins.
  const config =
    metricIntervalMs < otlpTimeoutMs ? { url, timeoutMillis: metricIntervalMs } : { url };
  const inner = protocol === "http/json" ? new JsonMetrics(config) : new ProtobufMetrics(config);
  const exporter: PushMetricExporter = {
    export: watched("metrics", sendings, (metrics, done) => inner.export(metrics, done)),
    forceFlush: () => inner.forceFlush(),
    shutdown: () => inner.shutdown(),
    selectAggregation: (type) => inner.selectAggregation(type),
    selectAggregationTemporality: (type) => inner.selectAggregationTemporality(type),
  };
  const reader = new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: metricIntervalMs,
    exportTimeoutMillis: Math.min(metricIntervalMs, exportTimeoutMs),
  });
  const provider = new MeterProvider({ resource, readers: [reader] });
  const meter = provider.getMeter(scopeName, version, { schemaUrl });
  const histogram = ({ name, bounds, ...said }: (typeof metricNames)[keyof typeof metricNames]) =>
    meter.createHistogram(name, { ...said, advice: { explicitBucketBoundaries: [...bounds] } });
  const duration = histogram(metricNames.requestDuration);
  const firstToken = histogram(metricNames.timeToFirstToken);
  const perToken = histogram(metricNames.timePerOutputToken);
  const usage = histogram(metricNames.tokenUsage);
  return {
    record({ attributes, durationS, ttftS, perTokenS, inputTokens, outputTokens }) {
      duration.record(durationS, attributes);
      const { [names.errorType]: _none, ...common } = attributes;
      note(firstToken, ttftS, common);
      note(perToken, perTokenS, common);
      note(usage, inputTokens, { ...common, [names.tokenType]: "input" });
      note(usage, outputTokens, { ...common, [names.tokenType]: "output" });
    },
    close: () => provider.shutdown(),
  };
}

function note(histogram: Histogram, value: number | undefined, attributes: Attributes): void {
  if (value !== undefined) histogram.record(value, attributes as ApiAttributes);
}

type Export<T> = (items: T, done: (result: ExportResult) => void) => void;

/** Calls back once, also where the exporter never does; and tells how it went. */
function watched<T>(signal: Signal, sendings: Sendings, send: Export<T>): Export<T> {
  return (items, done) => {
    const spans = (items as { length?: number }).length ?? 0;
    let isDone = false;
    const settle = (result: ExportResult): void => {
      if (isDone) return;
      isDone = true;
      clearTimeout(timer);
      if (result.code === ExportResultCode.SUCCESS) sendings.sent(signal, spans);
      else sendings.failed(signal, spans, reasonOf(result.error));
      done(result);
    };
    const timedOut = new Error(`no answer within ${exportTimeoutMs / 1000} s`);
    const timer = setTimeout(
      () => settle({ code: ExportResultCode.FAILED, error: timedOut }),
      exportTimeoutMs,
    );
    timer.unref();
    try {
      send(items, settle);
    } catch (error) {
      settle({ code: ExportResultCode.FAILED, error: error as Error });
    }
  };
}

/** A refused connection may be several errors in one, without words of their own. */
function reasonOf(error: (Error & { code?: unknown }) | undefined): string {
  if (error === undefined) return "unknown";
  const { message, code } = error;
  if (message !== "") return typeof code === "number" ? `HTTP status ${code}` : message;
  return typeof code === "string" ? code : error.name;
}
