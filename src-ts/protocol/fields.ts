/**
 * Fields that several request bodies share. A field of the official API that is not served is here
 * with the values of it that change nothing: those pass, everything else is refused by name.
 */
import { z } from "zod";
import * as limits from "./limits.js";

/** Marks a refusal as one of "not supported" rather than "wrong"; see `isNotSupported`. */
const notSupportedMark = "not supported by this server";

export function notSupported(what: string): string {
  return `${what} is ${notSupportedMark}.`;
}

export function isNotSupported(message: string): boolean {
  return message.includes(notSupportedMark);
}

/** An empty list or null. */
export function emptyList(what: string) {
  return z.tuple([], { error: notSupported(what) }).nullish();
}

/** Null, or absent. */
export function absent(what: string) {
  return z.null({ error: notSupported(what) }).optional();
}

/** One of the values that change nothing, null, or absent. */
export function only<const T extends string | number | boolean>(
  values: readonly T[],
  what: string,
) {
  return z.literal(values, { error: notSupported(what) }).nullish();
}

export const text = z.string().max(limits.textCharsMax);
export const identifier = z.string().max(limits.identifierCharsMax);
export const flag = z.boolean().nullish();

export const model = z.string().min(1).max(limits.modelIdCharsMax).nullish();

/** Tokens to generate at most; counts from 1. */
export const tokenCount = z.int().min(1).max(limits.outputTokensMax).nullish();

export const metadata = z
  .record(z.string().max(limits.metadataKeyCharsMax), z.string().max(limits.metadataValueCharsMax))
  .refine((value) => Object.keys(value).length <= limits.metadataEntriesMax, {
    error: `metadata has at most ${limits.metadataEntriesMax} entries.`,
  })
  .meta({ maxProperties: limits.metadataEntriesMax })
  .nullish();

/** No vocabulary has a billion tokens. */
const tokenId = /^(0|[1-9][0-9]{0,8})$/;

/** Token id (as a decimal string, as JSON has it) to bias. */
export const logitBias = z
  .record(z.string(), z.number().min(-limits.logitBiasAbsMax).max(limits.logitBiasAbsMax))
  .refine((value) => Object.keys(value).length <= limits.logitBiasEntriesMax, {
    error: `logit_bias has at most ${limits.logitBiasEntriesMax} entries.`,
    abort: true,
  })
  .refine((value) => Object.keys(value).every((key) => tokenId.test(key)), {
    error: "the keys of logit_bias are token ids.",
  })
  .meta({
    maxProperties: limits.logitBiasEntriesMax,
    propertyNames: { type: "string", pattern: tokenId.source },
  })
  .nullish();

const stopString = z.string().min(1).max(limits.stopStringCharsMax);

const penalty = z.number().min(-limits.penaltyAbsMax).max(limits.penaltyAbsMax).nullish();

/** Of a body: numbers past 2^53 are read exactly there, as bigints. */
export const exactIntegers = ["seed"] as const;

/** Taken modulo 2^64: negative ones are read as two's complement. */
const seed = z
  .custom<number | bigint>(isSeed, {
    error: `seed is an integer from -${limits.seedAbsMax} to ${limits.seedAbsMax}.`,
  })
  .meta({
    type: "integer",
    minimum: -Number(limits.seedAbsMax),
    maximum: Number(limits.seedAbsMax),
  });

function isSeed(value: unknown): value is number | bigint {
  if (typeof value === "bigint") return -limits.seedAbsMax <= value && value <= limits.seedAbsMax;
  return Number.isSafeInteger(value);
}

/** How the next token is drawn. The last three and, in Responses, all but two are extensions. */
export const sampling = {
  temperature: z.number().min(0).max(limits.temperatureMax).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  frequency_penalty: penalty,
  presence_penalty: penalty,
  stop: z
    .union([stopString, z.array(stopString).max(limits.stopStringsMax)], {
      error: `stop is a string or a list of at most ${limits.stopStringsMax} strings.`,
    })
    .nullish(),
  seed: seed.nullish(),
  logit_bias: logitBias,
  /** 0 or -1: off. */
  top_k: z.int().min(-1).max(limits.topKMax).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().positive().max(limits.repetitionPenaltyMax).nullish(),
};

/** Who goes first when there is more to do than places; within one priority clients share fairly. */
export const priorityValues = ["interactive", "normal", "batch"] as const;
export const Priority = z.enum(priorityValues);
export type Priority = z.infer<typeof Priority>;

/** Accepted everywhere because official clients send them; they change nothing. */
export const inert = {
  user: identifier.nullish(),
  safety_identifier: identifier.nullish(),
  prompt_cache_key: identifier.nullish(),
  prompt_cache_retention: only(["in-memory", "in_memory"], "A longer prompt cache retention"),
  service_tier: only(["auto", "default"], "A service tier"),
  parallel_tool_calls: flag,
};

/** `include_usage` is chat's and completions'. Obfuscation is never added, so only false is true. */
export const includeObfuscation = only([false], "Stream obfuscation");
