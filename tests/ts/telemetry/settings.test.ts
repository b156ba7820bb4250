import { describe, expect, it } from "vitest";
import { publicUrl, telemetrySettings } from "../../../src-ts/telemetry/settings.js";

const urlsOf = (endpoint: string | undefined, environment: Record<string, string>) => {
  const { settings, notes } = telemetrySettings(endpoint, environment);
  return [settings?.traces?.url, settings?.metrics?.url, ...notes];
};

describe("telemetry", () => {
  it("is off where nobody names an endpoint", () => {
    const environment = { OTEL_SERVICE_NAME: "a", OTEL_EXPORTER_OTLP_HEADERS: "a=b" };
    expect(telemetrySettings(undefined, environment)).toEqual({ settings: undefined, notes: [] });
  });

  it("goes below a base, which may have a path", () => {
    const environment = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://a:4318" };
    expect(urlsOf(undefined, environment)).toEqual([
      "http://a:4318/v1/traces",
      "http://a:4318/v1/metrics",
    ]);
    expect(urlsOf("https://b/otlp/?key=1", environment)).toEqual([
      "https://b/otlp/v1/traces?key=1",
      "https://b/otlp/v1/metrics?key=1",
    ]);
  });

  it("takes the endpoint of one signal as it is", () => {
    const own = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://a/traces" };
    expect(urlsOf(undefined, own)).toEqual(["http://a/traces", undefined]);
    const both = { ...own, OTEL_EXPORTER_OTLP_ENDPOINT: "http://b" };
    expect(urlsOf(undefined, both)).toEqual(["http://a/traces", "http://b/v1/metrics"]);
    expect(urlsOf("http://c", both)).toEqual(["http://c/v1/traces", "http://c/v1/metrics"]);
  });

  it("can be turned off, whole or by signal", () => {
    const endpoint = "http://a";
    expect(urlsOf(endpoint, { OTEL_SDK_DISABLED: "TRUE" })).toEqual([undefined, undefined]);
    expect(urlsOf(endpoint, { OTEL_METRICS_EXPORTER: "none" })).toEqual([
      "http://a/v1/traces",
      undefined,
    ]);
    const neither = { OTEL_METRICS_EXPORTER: "none", OTEL_TRACES_EXPORTER: "none" };
    expect(telemetrySettings(endpoint, neither).settings).toBeUndefined();
  });

  it("says what is wrong with a variable, and shows no URL", () => {
    expect(urlsOf(undefined, { OTEL_EXPORTER_OTLP_ENDPOINT: "user:secret@host" })).toEqual([
      undefined,
      undefined,
      "OTEL_EXPORTER_OTLP_ENDPOINT must be a URL such as http://localhost:4318: no traces are sent",
      "OTEL_EXPORTER_OTLP_ENDPOINT must be a URL such as http://localhost:4318: no metrics are sent",
    ]);
    expect(
      urlsOf("http://a", {
        OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: "grpc",
        OTEL_TRACES_EXPORTER: "x",
      }),
    ).toEqual([
      undefined,
      undefined,
      'OTEL_TRACES_EXPORTER must be otlp or none, not "x": no traces are sent',
      'OTEL_EXPORTER_OTLP_METRICS_PROTOCOL must be one of http/protobuf, http/json, not "grpc": no metrics are sent',
    ]);
  });

  it("has intervals and bounds of the environment", () => {
    const given = { OTEL_METRIC_EXPORT_INTERVAL: "5000", OTEL_BSP_MAX_QUEUE_SIZE: "-3" };
    const { settings, notes } = telemetrySettings("http://a", given);
    expect(settings).toMatchObject({ metricIntervalMs: 5_000, spansMax: 2_048 });
    expect(notes).toEqual([
      'OTEL_BSP_MAX_QUEUE_SIZE must be a positive integer, not "-3": it is 2048',
    ]);
  });

  it("is protobuf unless told otherwise", () => {
    const protocolOf = (environment: Record<string, string>) =>
      telemetrySettings("http://a", environment).settings?.traces?.protocol;
    expect(protocolOf({})).toBe("http/protobuf");
    expect(protocolOf({ OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" })).toBe("http/json");
  });
});

it("an URL in the log has no password and no key", () => {
  expect(publicUrl("https://user:secret@host:1/a?key=1#b")).toBe("https://host:1/a");
});
