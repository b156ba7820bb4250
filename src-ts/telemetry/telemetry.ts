/**
 * Listens to the engine and passes on what has ended, as traces and metrics. Never in the way of a request: what
 * can't be sent is dropped and counted, what goes wrong is a line in the log, and closing takes a bounded time.
 */
import type { Engine } from "../engine/api.js";
import { ExportLog, type TelemetryLogger } from "./export-log.js";
import { attributes as names } from "./names.js";
import type { Otlp, Sendings } from "./otlp.js";
import type { Signal, TelemetrySettings } from "./settings.js";
import { publicUrl } from "./settings.js";
import { type Attributes, type Ended, endedResponse, refusedRequest } from "./spans.js";

const flushMsMaxDefault = 3_000;

export interface TelemetryParts {
  settings: TelemetrySettings;
  engine: Pick<Engine, "observe" | "operator">;
  logger: TelemetryLogger;
  /** Where it is served; called when something has ended. */
  address(): { host: string; port: number } | undefined;
  /** At the end, what waits is sent for so long at most. */
  flushMsMax?: number | undefined;
}

export class Telemetry {
  readonly figures = {
    spansExported: 0,
    spansDropped: 0,
    failures: { traces: 0, metrics: 0 },
  };
  private readonly stop: () => void;
  private readonly log: ExportLog;
  private readonly otlp: Otlp;
  private closing: Promise<void> | undefined;

  private constructor(
    private readonly parts: TelemetryParts,
    open: (settings: TelemetrySettings, sendings: Sendings) => Otlp,
  ) {
    const { settings, engine, logger } = parts;
    this.log = new ExportLog(logger, {
      traces: settings.traces && publicUrl(settings.traces.url),
      metrics: settings.metrics && publicUrl(settings.metrics.url),
    });
    this.otlp = open(settings, {
      sent: (signal, spans) => this.sent(signal, spans),
      failed: (signal, spans, reason) => this.failed(signal, spans, reason),
    });
    this.stop = engine.observe({
      ended: (response, info) =>
        this.take(() =>
          endedResponse(response, info, this.timelineOf(response.id), this.serverOf()),
        ),
      refused: (info) =>
        this.take(() => refusedRequest(info, this.timelineOf(info.id ?? ""), this.serverOf())),
    });
  }

  /** Loads the SDK: nothing else does. */
  static async start(parts: TelemetryParts): Promise<Telemetry> {
    const { openOtlp } = await import("./otlp.js");
    return new Telemetry(parts, openOtlp);
  }

  close(): Promise<void> {
    this.stop();
    const { flushMsMax = flushMsMaxDefault } = this.parts;
    this.closing ??= within(flushMsMax, this.otlp.close());
    return this.closing;
  }

  /** An observer that throws would be in the way of the request that it watches. */
  private take(read: () => Ended | undefined): void {
    try {
      const ended = read();
      if (ended === undefined) return;
      if (ended.span !== undefined) this.otlp.trace(ended.span, ended.origin);
      this.otlp.record(ended.figures);
    } catch (error) {
      this.failed("traces", 0, (error as Error).message);
    }
  }

  private timelineOf(id: string) {
    return this.parts.engine.operator.timeline(id);
  }

  private serverOf(): Attributes {
    const address = this.parts.address();
    if (address === undefined) return {};
    return { [names.serverAddress]: address.host, [names.serverPort]: address.port };
  }

  private sent(signal: Signal, spans: number): void {
    this.figures.spansExported += spans;
    this.log.sent(signal);
  }

  private failed(signal: Signal, spans: number, reason: string): void {
    this.figures.spansDropped += spans;
    this.figures.failures[signal]++;
    this.log.failed(signal, spans, reason);
  }
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  // What fails has been told already.
  await Promise.race([work.catch(() => {}), timeout]);
  clearTimeout(timer);
}
