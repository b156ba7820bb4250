/**
 * Whether telemetry is on, and where it goes: from our own option and OpenTelemetry's environment variables. What is
 * wrong in a variable is said and turns a signal off: it may be meant for other programs, and is no reason not to serve.
 */

export type Signal = "traces" | "metrics";

export interface Destination {
  url: string;
  protocol: "http/protobuf" | "http/json";
}

export interface TelemetrySettings {
  traces: Destination | undefined;
  metrics: Destination | undefined;
  metricIntervalMs: number;
  /** Spans that wait to be sent, and are under way. */
  spansMax: number;
}

export interface ResolvedTelemetry {
  /** Undefined: off. */
  settings: TelemetrySettings | undefined;
  /** What is wrong, for the log. */
  notes: string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

const defaultIntervalMs = 60_000;
const defaultSpansMax = 2_048;
const protocols: readonly string[] = ["http/protobuf", "http/json"];

/** `endpoint`: of our own option, and stands above the endpoints of the environment. */
export function telemetrySettings(
  endpoint: string | undefined,
  environment: Environment,
): ResolvedTelemetry {
  const notes: string[] = [];
  if (isTrue(environment.OTEL_SDK_DISABLED)) return { settings: undefined, notes };
  const destination = (signal: Signal) => destinationOf(signal, endpoint, environment, notes);
  const traces = destination("traces");
  const metrics = destination("metrics");
  if (traces === undefined && metrics === undefined) return { settings: undefined, notes };
  const count = (name: string, fallback: number) => countOf(name, fallback, environment, notes);
  const settings = {
    traces,
    metrics,
    metricIntervalMs: count("OTEL_METRIC_EXPORT_INTERVAL", defaultIntervalMs),
    spansMax: count("OTEL_BSP_MAX_QUEUE_SIZE", defaultSpansMax),
  };
  return { settings, notes };
}

function destinationOf(
  signal: Signal,
  endpoint: string | undefined,
  environment: Environment,
  notes: string[],
): Destination | undefined {
  const upper = signal.toUpperCase();
  const given = (name: string): [string, string] | undefined => {
    const value = environment[name]?.trim();
    return value === undefined || value === "" ? undefined : [name, value];
  };
  const own = given(`OTEL_EXPORTER_OTLP_${upper}_ENDPOINT`);
  const shared = given("OTEL_EXPORTER_OTLP_ENDPOINT");
  if (endpoint === undefined && own === undefined && shared === undefined) return undefined;
  const off = (note: string): undefined => {
    notes.push(`${note}: no ${signal} are sent`);
    return undefined;
  };
  const [exporterName, exporters] = given(`OTEL_${upper}_EXPORTER`) ?? ["", "otlp"];
  if (exporters === "none") return undefined;
  if (!exporters.split(",").some((one) => one.trim() === "otlp"))
    return off(`${exporterName} must be otlp or none, not ${shown(exporters)}`);
  const [protocolName, protocol] = given(`OTEL_EXPORTER_OTLP_${upper}_PROTOCOL`) ??
    given("OTEL_EXPORTER_OTLP_PROTOCOL") ?? ["", "http/protobuf"];
  if (!isProtocol(protocol))
    return off(`${protocolName} must be one of ${protocols.join(", ")}, not ${shown(protocol)}`);
  if (endpoint !== undefined) return { url: below(endpoint, signal), protocol };
  const [name, value] = own ?? shared!;
  if (!isHttpUrl(value)) return off(`${name} must be a URL such as http://localhost:4318`);
  return { url: own === undefined ? below(value, signal) : value, protocol };
}

const isProtocol = (value: string): value is Destination["protocol"] => protocols.includes(value);

export function isHttpUrl(value: string): boolean {
  return /^https?:\/\//i.test(value) && URL.canParse(value);
}

/** A base, with or without a path of its own. */
function below(base: string, signal: Signal): string {
  const url = new URL(base);
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/v1/${signal}`;
  return url.href;
}

function countOf(
  name: string,
  fallback: number,
  environment: Environment,
  notes: string[],
): number {
  const value = environment[name]?.trim();
  if (value === undefined || value === "") return fallback;
  if (/^[1-9]\d{0,8}$/.test(value)) return Number(value);
  notes.push(`${name} must be a positive integer, not ${shown(value)}: it is ${fallback}`);
  return fallback;
}

const isTrue = (value: string | undefined): boolean => value?.trim().toLowerCase() === "true";

const shownCharsMax = 80;

function shown(value: string): string {
  const text = JSON.stringify(value);
  return text.length > shownCharsMax ? `${text.slice(0, shownCharsMax)}…` : text;
}

/** Without a password or a key in it. */
export function publicUrl(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}
