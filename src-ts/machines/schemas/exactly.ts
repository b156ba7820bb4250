/** What the schemas of all machines share: how one is tied to its generated type, and bounds. Knows no machine. */
import { z } from "zod";

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;

/**
 * Ties a schema to a generated type in both directions: a case that one of them has and the other
 * lacks, or a field of another type, does not compile.
 */
export const exactly =
  <T>() =>
  <S extends z.ZodType>(schema: Same<z.infer<S>, T> extends true ? S : never): S =>
    schema;

/** Bounds of what a machine's schema lets in. */
export const limits = {
  idCharsMax: 256,
  signalCharsMax: 16,
  /** Members of one batch. */
  membersMax: 4_096,
  /** Items of one plan's queue. */
  queueDepthMax: 65_536,
  /** Workers of one plan, and prefixes of one item. */
  workersMax: 1_024,
  /** Deaths remembered by one worker. */
  deathsMax: 1_024,
  /** The longest that a worker may call itself busy. */
  allowanceMsMax: 3_600_000,
} as const;

export const id = z.string().min(1).max(limits.idCharsMax);
/** A count: 0 and up, 32 bits. */
export const count = z.int32().min(0);
/** A position that may not be zero: an epoch in use, a number of tokens. */
export const ordinal = z.int32().min(1);
/** Monotonic milliseconds. */
export const instant = z.number();
export const durationMs = z.number().min(0);
export const bytes = z.number().min(0);
