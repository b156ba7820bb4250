/**
 * Fifteen minutes of a few figures, for the charts of the console. Reads what `/metrics` has counted anyway, every
 * three seconds: tokens cost nothing more for it.
 */
import type { Engine, WorkerInfo } from "../../engine/api.js";
import type { Sample } from "../../protocol/live.js";
import type { Totals } from "./histogram.js";
import { kvUseOf } from "./worker-metrics.js";

export const samplePeriodMs = 3_000;
const spanMs = 15 * 60 * 1000;
const samplesMax = spanMs / samplePeriodMs;

export interface HistoryParts {
  latencies(): { ttft: Totals; interToken: Totals };
  /** Monotonic milliseconds, and those of the wall. */
  now(): number;
  wall(): number;
}

interface Counted {
  at: number;
  ttft: Totals;
  interToken: Totals;
  promptTokens: number;
  cachedTokens: number;
}

export class History {
  private readonly kept: Sample[] = [];
  private promptTokens = 0;
  private cachedTokens = 0;
  private before: Counted;
  private readonly timer: NodeJS.Timeout;
  private readonly stop: () => void;

  constructor(
    private readonly engine: Pick<Engine, "workers" | "observe">,
    private readonly parts: HistoryParts,
    private readonly onSample: (sample: Sample) => void,
  ) {
    this.stop = engine.observe({
      ended: (_response, { usage }) => {
        this.promptTokens += usage.promptTokens;
        this.cachedTokens += usage.cachedTokens;
      },
    });
    this.before = this.count();
    this.timer = setInterval(() => this.take(), samplePeriodMs);
    this.timer.unref();
  }

  get samples(): readonly Sample[] {
    return this.kept;
  }

  close(): void {
    clearInterval(this.timer);
    this.stop();
  }

  /** Called every `samplePeriodMs`. */
  take(): void {
    const { before } = this;
    const now = this.count();
    this.before = now;
    const prompt = now.promptTokens - before.promptTokens;
    const sample: Sample = {
      atMs: Math.round(this.parts.wall()),
      ...rates(before, now),
      ...gauges(this.engine.workers()),
      prefixHitRate: prompt > 0 ? (now.cachedTokens - before.cachedTokens) / prompt : null,
    };
    this.kept.push(sample);
    if (this.kept.length > samplesMax) this.kept.shift();
    this.onSample(sample);
  }

  private count(): Counted {
    const { promptTokens, cachedTokens, parts } = this;
    return { at: parts.now(), ...parts.latencies(), promptTokens, cachedTokens };
  }
}

function rates(before: Counted, now: Counted) {
  const tokens =
    now.interToken.count - before.interToken.count + now.ttft.count - before.ttft.count;
  const seconds = (now.at - before.at) / 1000;
  return {
    tokensPerS: seconds > 0 ? round(tokens / seconds) : 0,
    ttftMeanMs: meanMs(before.ttft, now.ttft),
    ttftP95Ms: percentileMs(before.ttft, now.ttft, 0.95),
    interTokenMeanMs: meanMs(before.interToken, now.interToken),
    interTokenP95Ms: percentileMs(before.interToken, now.interToken, 0.95),
  };
}

function meanMs(before: Totals, now: Totals): number | null {
  const count = now.count - before.count;
  return count > 0 ? round(((now.sum - before.sum) / count) * 1000) : null;
}

/** Between two bounds it is taken to be spread evenly; past the last one it is that bound. */
export function percentileMs(before: Totals, now: Totals, share: number): number | null {
  const total = now.count - before.count;
  if (total <= 0) return null;
  let left = total * share;
  for (let i = 0; i < now.bounds.length; i++) {
    const inBucket = now.counts[i]! - before.counts[i]!;
    const from = i === 0 ? 0 : now.bounds[i - 1]!;
    if (left <= inBucket && inBucket > 0)
      return round((from + (now.bounds[i]! - from) * (left / inBucket)) * 1000);
    left -= inBucket;
  }
  return round(now.bounds[now.bounds.length - 1]! * 1000);
}

function gauges(workers: readonly WorkerInfo[]) {
  let [running, prefixBytes] = [0, 0];
  const waiting = new Map<string, number>();
  for (const { model, queued, preparing, storing, telemetry, ...worker } of workers) {
    running += worker.running;
    // The model's, told by each of its workers.
    waiting.set(model, queued + preparing + storing);
    prefixBytes += Number(telemetry?.prefixCacheBytes ?? 0);
  }
  return {
    running,
    waiting: [...waiting.values()].reduce((sum, count) => sum + count, 0),
    kvUse: kvUseOf(workers) ?? null,
    prefixBytes,
  };
}

const round = (value: number): number => Math.round(value * 100) / 100;
