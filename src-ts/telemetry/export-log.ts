/** What the log says of telemetry that can't be sent: the first failure at once, then a line a minute with counts. */
import type { Signal } from "./settings.js";

export interface TelemetryLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

const everyMs = 60_000;

interface State {
  isFailing: boolean;
  /** Monotonic. */
  saidAt: number;
  /** Since the last line. */
  failures: number;
  spans: number;
}

export class ExportLog {
  private readonly states = new Map<Signal, State>();

  constructor(
    private readonly logger: TelemetryLogger,
    private readonly urls: Readonly<Record<Signal, string | undefined>>,
    private readonly now: () => number = () => performance.now(),
  ) {}

  failed(signal: Signal, spans: number, reason: string): void {
    const state = this.of(signal);
    state.isFailing = true;
    state.failures++;
    state.spans += spans;
    if (this.now() - state.saidAt < everyMs) return;
    const { failures, spans: droppedSpans } = state;
    const fields = { url: this.urls[signal], reason, failures, droppedSpans };
    this.logger.warn(fields, `telemetry: ${signal} can't be sent, requests are not affected`);
    Object.assign(state, { saidAt: this.now(), failures: 0, spans: 0 });
  }

  /** Told once, and only where a failure was. */
  sent(signal: Signal): void {
    const state = this.of(signal);
    if (!state.isFailing) return;
    state.isFailing = false;
    const { failures, spans: droppedSpans } = state;
    // An endpoint that comes and goes all the time says no more than one that is gone.
    if (this.now() - state.saidAt < everyMs && failures > 0) return;
    this.logger.info(
      { url: this.urls[signal], droppedSpans },
      `telemetry: ${signal} are sent again`,
    );
  }

  private of(signal: Signal): State {
    let state = this.states.get(signal);
    if (state === undefined) {
      const saidAt = Number.NEGATIVE_INFINITY;
      state = { isFailing: false, saidAt, failures: 0, spans: 0 };
      this.states.set(signal, state);
    }
    return state;
  }
}
