/**
 * How much a serving stack delays tokens whose times are known: those of the fake engine, which
 * emits each stream at a fixed rate.
 *
 * Token i of a stream is due at t₀ + i / rate, with t₀ the arrival of its first token; its delay is its
 * arrival minus that. Two figures come of it:
 * - behind schedule: its delay above the smallest delay of its stream. An upper bound: when the engine
 *   itself loses time (it is not given the processor), it does not make up for it, and every later
 *   token is late by as much.
 * - added: its delay above the smallest delay of this and all later tokens of its stream. Time that the
 *   engine lost is in those too and so leaves the figure; what is left is the time that a token waited
 *   on its way while a later one did not.
 */
import { type Distribution, distribution } from "./statistics.js";
import type { RequestRecord } from "./target.js";

export interface AddedLatency {
  tokensPerSecond: number;
  addedMs: Distribution | null;
  behindScheduleMs: Distribution | null;
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

interface Event {
  /** When it came. */
  at: number;
  /** Tokens of each piece of its text. */
  pieces: readonly number[];
}

/** Delay of each piece, in milliseconds; only their differences mean something. */
function delaysOf(events: readonly Event[], tokensPerSecond: number): number[] {
  const periodMs = 1000 / tokensPerSecond;
  let token = -1;
  return events.flatMap(({ at, pieces }) =>
    pieces.map((tokens) => {
      token += tokens;
      return at - token * periodMs;
    }),
  );
}

/** Of each piece, in milliseconds. */
export function behindScheduleMs(events: readonly Event[], tokensPerSecond: number): number[] {
  const delays = delaysOf(events, tokensPerSecond);
  const floor = delays.reduce((least, delay) => Math.min(least, delay), Number.POSITIVE_INFINITY);
  return delays.map((delay) => delay - floor);
}

/** Of each piece, in milliseconds. */
export function addedMs(events: readonly Event[], tokensPerSecond: number): number[] {
  let floor = Number.POSITIVE_INFINITY;
  return delaysOf(events, tokensPerSecond)
    .reverse()
    .map((delay) => {
      floor = Math.min(floor, delay);
      return delay - floor;
    })
    .reverse();
}

function fakeEvents({ arrivals, texts, usage }: RequestRecord): Event[][] {
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
    behindScheduleMs: distribution(
      usable.flatMap((events) => behindScheduleMs(events, tokensPerSecond)),
    ),
    streamsLeftOut: succeeded.length - usable.length,
  };
}
