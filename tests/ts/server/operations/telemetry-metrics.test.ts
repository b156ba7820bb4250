import { expect, it } from "vitest";
import { startServer } from "../../support/test-server.js";

it("/metrics counts spans and failed sendings, where telemetry is on", async () => {
  const of = async (server: { get(path: string): Promise<Response> }) =>
    (await (await server.get("/metrics")).text())
      .split("\n")
      .filter((line) => line.startsWith("mlx_serving:telemetry_"));
  expect(await of(await startServer())).toEqual([]);
  const telemetry = { spansExported: 8, spansDropped: 3, failures: { traces: 2, metrics: 1 } };
  expect(await of(await startServer({ telemetry }))).toEqual([
    'mlx_serving:telemetry_spans_total{outcome="exported"} 8',
    'mlx_serving:telemetry_spans_total{outcome="dropped"} 3',
    'mlx_serving:telemetry_export_failures_total{signal="traces"} 2',
    'mlx_serving:telemetry_export_failures_total{signal="metrics"} 1',
  ]);
});
