/** Figures out of records: percentiles, rates, counts. Exact: it keeps every sample. */
import type { RequestRecord } from "./target.js";

/** Of one quantity, in milliseconds. Percentiles by nearest rank. */
export interface Distribution {
  count: number;
  min: number;
  mean: number;
  p50: number;
  p95: number;
  p99: number;
  max: number;
}

/** What a run showed. Rates are per second of the whole run; all times are milliseconds. */
export interface Summary {
  requests: number;
  succeeded: number;
  /** How many, by kind. */
  failures: Record<string, number>;
  wallMs: number;
  /** Completion tokens of successful requests, counted from `usage`. */
  completionTokens: number;
  tokensPerSecond: number;
  requestsPerSecond: number;
  /** Prompt tokens per request, and of them those taken from a cache. */
  promptTokens: number;
  cachedTokens: number;
  /** Successful requests whose server sent no `usage`: their tokens are missing above. */
  withoutUsage: number;
  /** From sending a request to its first event with text. */
  ttftMs: Distribution | null;
  /** Between two events with text of one stream; a server that joins tokens has fewer, longer gaps. */
  interTokenMs: Distribution | null;
  /** Of one stream: (last event − first event) / (completion tokens − 1). */
  perTokenMs: Distribution | null;
  endToEndMs: Distribution | null;
}

/** Value at quantile `q` of ascending samples, by nearest rank. */
export function percentile(ascending: ArrayLike<number>, q: number): number {
  const rank = Math.max(1, Math.ceil(q * ascending.length));
  return ascending[rank - 1]!;
}

/** Null without samples. */
export function distribution(samples: readonly number[]): Distribution | null {
  if (samples.length === 0) return null;
  const ascending = Float64Array.from(samples).sort();
  let sum = 0;
  for (const sample of ascending) sum += sample;
  return {
    count: ascending.length,
    min: ascending[0]!,
    mean: sum / ascending.length,
    p50: percentile(ascending, 0.5),
    p95: percentile(ascending, 0.95),
    p99: percentile(ascending, 0.99),
    max: ascending[ascending.length - 1]!,
  };
}

export function gapsOf(arrivals: readonly number[]): number[] {
  const gaps: number[] = [];
  for (let i = 1; i < arrivals.length; i += 1) gaps.push(arrivals[i]! - arrivals[i - 1]!);
  return gaps;
}

function perTokenMs({ arrivals, usage }: RequestRecord): number[] {
  const tokens = usage?.completionTokens ?? 0;
  if (arrivals.length < 2 || tokens < 2) return [];
  return [(arrivals[arrivals.length - 1]! - arrivals[0]!) / (tokens - 1)];
}

function countFailures(records: readonly RequestRecord[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { failure } of records) {
    if (failure !== undefined) counts[failure] = (counts[failure] ?? 0) + 1;
  }
  return counts;
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** `wallMs`: what the run took; idle time between rounds does not belong in it. */
export function summarize(records: readonly RequestRecord[], wallMs: number): Summary {
  const succeeded = records.filter(({ failure }) => failure === undefined);
  const usages = succeeded.flatMap(({ usage }) => usage ?? []);
  const completionTokens = usages.reduce((sum, usage) => sum + usage.completionTokens, 0);
  const perSecond = (count: number) => (wallMs > 0 ? (count * 1000) / wallMs : 0);
  return {
    requests: records.length,
    succeeded: succeeded.length,
    failures: countFailures(records),
    wallMs,
    completionTokens,
    tokensPerSecond: perSecond(completionTokens),
    requestsPerSecond: perSecond(succeeded.length),
    promptTokens: mean(usages.map((usage) => usage.promptTokens)),
    cachedTokens: mean(usages.map((usage) => usage.cachedTokens)),
    withoutUsage: succeeded.length - usages.length,
    ttftMs: distribution(
      succeeded.flatMap(({ arrivals, startedAt }) =>
        arrivals.length === 0 ? [] : arrivals[0]! - startedAt,
      ),
    ),
    interTokenMs: distribution(succeeded.flatMap(({ arrivals }) => gapsOf(arrivals))),
    perTokenMs: distribution(succeeded.flatMap(perTokenMs)),
    endToEndMs: distribution(succeeded.map(({ startedAt, endedAt }) => endedAt - startedAt)),
  };
}
