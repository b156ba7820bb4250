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
  /** Streams left out, since their text is not made of as many fake tokens as their usage says. */
  streamsLeftOut: number;
}

/** Words and marks are one token of the fake engine each; any other character is one a byte. */
const fakePiece = /[a-z]+|[,.]|[^\sa-z,.]/gu;

/**
 * Tokens of each piece of a text of the fake engine. A character of several tokens is one piece: it
 * can't come before its last token.
 */
export function fakePieces(text: string): number[] {
  return Array.from(text.matchAll(fakePiece), ([piece]) =>
    /^[a-z,.]/.test(piece) ? 1 : new TextEncoder().encode(piece).length,
  );
}

/** `events`: when each came, and the tokens of the pieces that it brought. Result in milliseconds. */
export function addedMs(
  events: readonly { at: number; pieces: readonly number[] }[],
  tokensPerSecond: number,
): number[] {
  const periodMs = 1000 / tokensPerSecond;
  let token = -1;
  const delays = events.flatMap(({ at, pieces }) =>
    pieces.map((tokens) => {
      token += tokens;
      return at - token * periodMs;
    }),
  );
  const floor = delays.reduce((least, delay) => Math.min(least, delay), Number.POSITIVE_INFINITY);
  return delays.map((delay) => delay - floor);
}

function fakeEvents({ arrivals, texts, usage }: RequestRecord) {
  const events = arrivals.map((at, i) => ({ at, pieces: fakePieces(texts?.[i] ?? "") }));
  const tokens = events.reduce((sum, { pieces }) => sum + pieces.reduce((a, b) => a + b, 0), 0);
  return tokens === usage?.completionTokens ? [events] : [];
}

export function addedLatency(
  records: readonly RequestRecord[],
  tokensPerSecond: number,
): AddedLatency {
  const succeeded = records.filter(({ failure }) => failure === undefined);
  const usable = succeeded.flatMap(fakeEvents);
  return {
    tokensPerSecond,
    addedMs: distribution(usable.flatMap((events) => addedMs(events, tokensPerSecond))),
    streamsLeftOut: succeeded.length - usable.length,
  };
}
