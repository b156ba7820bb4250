/** What of traces and metrics has been sent by OpenTelemetry, and what not: for `/metrics`, only where it is on. */
import { Counter, type Registry } from "prom-client";
import type { TelemetryFigures } from "../options.js";

export function addTelemetryMetrics(
  registry: Registry,
  prefix: string,
  figures: TelemetryFigures,
): void {
  new Counter({
    name: `${prefix}telemetry_spans_total`,
    help: "Spans: exported, or dropped since there was no room or they could not be sent.",
    labelNames: ["outcome"],
    registers: [registry],
    collect() {
      this.reset();
      this.inc({ outcome: "exported" }, figures.spansExported);
      this.inc({ outcome: "dropped" }, figures.spansDropped);
    },
  });
  new Counter({
    name: `${prefix}telemetry_export_failures_total`,
    help: "Sendings of telemetry that failed.",
    labelNames: ["signal"],
    registers: [registry],
    collect() {
      this.reset();
      for (const [signal, count] of Object.entries(figures.failures)) this.inc({ signal }, count);
    },
  });
}
