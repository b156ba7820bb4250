/** An OpenTelemetry collector inside the test: takes OTLP over HTTP as JSON, or is as broken as it is told to be. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

type Value =
  | { stringValue: string }
  | { intValue: number | string }
  | { doubleValue: number }
  | { boolValue: boolean }
  | { arrayValue: { values: Value[] } };
interface Attribute {
  key: string;
  value: Value;
}

export interface CollectedSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
  name: string;
  kind: number;
  startMs: number;
  endMs: number;
  attributes: Record<string, unknown>;
  events: { name: string; attributes: Record<string, unknown> }[];
  /** 2: it has failed. */
  status: number;
  traceState: string | undefined;
}

export interface CollectedMetric {
  name: string;
  unit: string;
  points: { attributes: Record<string, unknown>; count: number; sum: number; bounds: number[] }[];
}

export interface Received {
  path: string;
  headers: IncomingMessage["headers"];
  body: Buffer;
}

export class Collector {
  readonly received: Received[] = [];
  /** What it does with what comes; a number is a status. */
  mood: "take" | "hang" | number = "take";
  private readonly server = createServer((request, reply) => this.take(request, reply));

  static async start(): Promise<Collector> {
    const collector = new Collector();
    await new Promise<void>((resolve) => collector.server.listen(0, "127.0.0.1", resolve));
    return collector;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Of what came as JSON. */
  get spans(): CollectedSpan[] {
    return this.json("/v1/traces").flatMap(({ resourceSpans }) =>
      (resourceSpans as Json[]).flatMap(({ scopeSpans }) =>
        (scopeSpans as Json[]).flatMap(({ spans }) => (spans as RawSpan[]).map(spanOf)),
      ),
    );
  }

  /** The newest of each, since they add up. */
  get metrics(): CollectedMetric[] {
    const last = this.json("/v1/metrics").at(-1) as { resourceMetrics: Json[] } | undefined;
    return (last?.resourceMetrics ?? []).flatMap(({ scopeMetrics }) =>
      (scopeMetrics as Json[]).flatMap(({ metrics }) => (metrics as RawMetric[]).map(metricOf)),
    );
  }

  async until(holds: (collector: this) => boolean): Promise<void> {
    while (!holds(this)) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private json(path: string): Json[] {
    return this.received
      .filter((one) => one.path === path && one.headers["content-type"] === "application/json")
      .map(({ body }) => JSON.parse(body.toString()) as Json);
  }

  private take(request: IncomingMessage, reply: ServerResponse): void {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { url: path = "", headers } = request;
      this.received.push({ path, headers, body: Buffer.concat(chunks) });
      if (this.mood === "hang") return;
      reply.writeHead(this.mood === "take" ? 200 : this.mood, {
        "content-type": "application/json",
      });
      reply.end("{}");
    });
  }
}

type Json = Record<string, unknown>;
interface RawSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Attribute[];
  events: { name: string; attributes: Attribute[] }[];
  status: { code: number };
  traceState?: string;
}
interface RawMetric {
  name: string;
  unit: string;
  histogram: {
    dataPoints: { attributes: Attribute[]; count: number; sum: number; explicitBounds: number[] }[];
  };
}

function spanOf({ startTimeUnixNano, endTimeUnixNano, status, ...span }: RawSpan): CollectedSpan {
  const { traceId, spanId, parentSpanId, name, kind, traceState } = span;
  return {
    ...{ traceId, spanId, parentSpanId, name, kind, traceState },
    startMs: Number(startTimeUnixNano) / 1e6,
    endMs: Number(endTimeUnixNano) / 1e6,
    attributes: objectOf(span.attributes),
    events: span.events.map((event) => ({
      name: event.name,
      attributes: objectOf(event.attributes),
    })),
    status: status.code,
  };
}

function metricOf({ name, unit, histogram }: RawMetric): CollectedMetric {
  return {
    name,
    unit,
    points: histogram.dataPoints.map(({ attributes, count, sum, explicitBounds: bounds }) => ({
      ...{ attributes: objectOf(attributes), count: Number(count), sum, bounds },
    })),
  };
}

function objectOf(attributes: readonly Attribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, plain(value)]));
}

function plain(value: Value): unknown {
  if ("arrayValue" in value) return value.arrayValue.values.map(plain);
  if ("intValue" in value) return Number(value.intValue);
  return Object.values(value)[0];
}
