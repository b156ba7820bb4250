/**
 * How much a serving stack delays tokens whose times are known: those of the fake engine, which
 * emits each stream at a fixed rate.
 *
 * Token i of a stream is due at t₀ + i / rate, with t₀ the arrival of its first token. Its delay is
 * its arrival minus that, and its added latency the delay above the smallest of its stream (so that a
 * first token that came late doesn't make all others look early). What the engine itself drifts from
 * its rate is in it too: the figure is an upper bound of what the stack adds.
 */
import { type Distribution, distribution } from "./statistics.js";
import type { RequestRecord } from "./target.js";

export interface AddedLatency {
  tokensPerSecond: number;
  addedMs: Distribution | null;
  /** Streams left out, since they had not one event per token: there the times are not known. */
  streamsLeftOut: number;
}

/** Added latency of each token, in milliseconds. */
export function addedMs(arrivals: readonly number[], tokensPerSecond: number): number[] {
  const periodMs = 1000 / tokensPerSecond;
  const first = arrivals[0];
  if (first === undefined) return [];
  const delays = arrivals.map((arrival, i) => arrival - (first + i * periodMs));
  const floor = delays.reduce((least, delay) => Math.min(least, delay), 0);
  return delays.map((delay) => delay - floor);
}

export function addedLatency(
  records: readonly RequestRecord[],
  tokensPerSecond: number,
): AddedLatency {
  const succeeded = records.filter(({ failure }) => failure === undefined);
  const usable = succeeded.filter(
    ({ arrivals, usage }) => arrivals.length === usage?.completionTokens,
  );
  return {
    tokensPerSecond,
    addedMs: distribution(usable.flatMap(({ arrivals }) => addedMs(arrivals, tokensPerSecond))),
    streamsLeftOut: succeeded.length - usable.length,
  };
}
