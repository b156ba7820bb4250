/**
 * Fields that several request bodies share. What would change the meaning of an answer and isn't served
 * passes with the values that change nothing, and is refused by name with others. A hint passes always.
 */
import { z } from "zod";
import * as limits from "./limits.js";

export const toolCalling = "Tool calling";
const structuredByName = "Structured output under this name";
const otherModality = "A modality other than text";

/** Marks a refusal as one of "not supported" rather than "wrong"; see `isNotSupported`. */
const notSupportedMark = "not supported by this server";

/** `what`: what is asked for; default: the field itself, which whoever says it names. */
export function notSupported(what?: string): string {
  return `${what === undefined ? "" : `${what} `}is ${notSupportedMark}.`;
}

export function isNotSupported(message: string): boolean {
  return message.includes(notSupportedMark);
}

/** What a client says of a hint that nobody follows: null, its default, nothing at all. */
function saysNothing(value: unknown, neutral: readonly unknown[]): boolean {
  if (value == null || neutral.includes(value)) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/**
 * Taken whatever it is, and not followed. Its output is undefined where it says something, null where
 * it doesn't: so `server/validation/tolerance.ts` finds the hints in a parsed body.
 */
export function hint(...neutral: readonly unknown[]) {
  return z
    .unknown()
    .transform((value) => (saysNothing(value, neutral) ? null : undefined))
    .optional()
    .meta({ description: "A hint: any value is taken and none does anything." });
}

/** Where an object means something: a hint by a word, a number. */
export const wordHint = z
  .unknown()
  .refine((value) => typeof value !== "object" || Array.isArray(value), {
    error: "must be an object",
  })
  .transform(() => undefined)
  .meta({
    description: "A hint: any value that is no object is taken and none does anything.",
    not: { type: "object" },
  });

/** A hint that is not followed either, and stands in the answer as it was asked. */
export class RepeatedHint {
  constructor(readonly value: string | null) {}
}

/** Of what is no short string there is nothing to repeat. */
function repeatedHint() {
  const isShort = (value: unknown): value is string =>
    typeof value === "string" && value.length <= limits.identifierCharsMax;
  return z
    .unknown()
    .transform((value) => (value === null ? null : new RepeatedHint(isShort(value) ? value : null)))
    .optional()
    .meta({ description: "A hint: any value is taken, and none does more than be repeated." });
}

/** Of all efforts one is more than a hint: none. */
export const reasoningEffort = z
  .unknown()
  .transform((value): "none" | null | undefined => {
    if (value === "none") return "none";
    return value == null ? null : undefined;
  })
  .optional()
  .meta({ description: "`none`: the model does not reason. Any other value is a hint." });

/** Tokens that a model may reason; 0: its reasoning is ended where it begins. An extension, with vLLM's name. */
export const thinkingTokenBudget = z.int().min(0).max(limits.outputTokensMax).nullish();

/** How much to reason. */
export const reasoning = z
  .union([
    z.object({
      effort: reasoningEffort,
      /** Tokens after which it is ended. An extension. */
      max_tokens: thinkingTokenBudget,
      summary: hint(),
      generate_summary: hint(),
    }),
    wordHint,
  ])
  .nullish();

/** What an output has and a history sends back. No model reads it, so nobody asks for anything by it. */
export const sentBack = z
  .unknown()
  .optional()
  .meta({ description: "Of an earlier output; any value is taken, and none is read." });

/** An empty list or null. */
function noTools() {
  return z
    .array(z.unknown())
    .max(limits.toolsMax)
    .refine((list) => list.length === 0, { error: notSupported(toolCalling) })
    .meta({ maxItems: 0 })
    .nullish();
}

/** Null, or absent. */
export function absent(what?: string) {
  return z.null({ error: notSupported(what) }).optional();
}

/** One of the values that change nothing, null, or absent. */
export function only<const T extends string | number | boolean>(
  values: readonly T[],
  what?: string,
) {
  return z.literal(values, { error: notSupported(what) }).nullish();
}

export const text = z.string().max(limits.textCharsMax);
export const identifier = z.string().max(limits.identifierCharsMax);
export const flag = z.boolean().nullish();

export const model = z.string().min(1).max(limits.modelIdCharsMax).nullish();

/** A prompt that is tokens already. */
export function isTokenIds(value: unknown): value is number[] {
  return (
    Array.isArray(value) &&
    value.length >= 1 &&
    value.length <= limits.promptTokensMax &&
    value.every((id) => Number.isInteger(id) && id >= 0 && id <= limits.tokenIdMax)
  );
}

const tokenIdsSchema = {
  type: "array",
  minItems: 1,
  maxItems: limits.promptTokensMax,
  items: { type: "integer", minimum: 0, maximum: limits.tokenIdMax },
};

/** As JSON Schema says it: a text, token ids, or a list of at most `maxItems` of either. */
export function textsOrTokensSchema(text: object, maxItems: number) {
  const listOf = (items: object) => ({ type: "array", minItems: 1, maxItems, items });
  return { anyOf: [text, tokenIdsSchema, listOf(text), listOf(tokenIdsSchema)] };
}

/** llama.cpp's way to say that there is no limit but the context's. */
const noLimit = -1;

/** Tokens to generate at most; counts from 1. Null, or −1: what the context leaves. */
export const tokenCount = z
  .int()
  .min(noLimit)
  .max(limits.outputTokensMax)
  .refine((count) => count !== 0, {
    error: `must be at least 1, or ${noLimit} for what the context leaves`,
  })
  .meta({ not: { const: 0 } })
  .transform((count) => (count === noLimit ? null : count))
  .nullish();

/** The same where none may be wanted. */
export const tokenCountOrNone = z
  .int()
  .min(noLimit)
  .max(limits.outputTokensMax)
  .transform((count) => (count === noLimit ? null : count))
  .nullish();

/** Each API has a name of its own for it, and clients know those of the others. */
export const tokenLimits = {
  max_tokens: tokenCount,
  max_completion_tokens: tokenCount,
  max_output_tokens: tokenCount,
  /** llama.cpp's. */
  n_predict: tokenCount,
};

export const metadata = z
  .record(z.string().max(limits.metadataKeyCharsMax), z.string().max(limits.metadataValueCharsMax))
  .refine((value) => Object.keys(value).length <= limits.metadataEntriesMax, {
    error: `must have at most ${limits.metadataEntriesMax} entries`,
  })
  .meta({ maxProperties: limits.metadataEntriesMax })
  .nullish();

/** No vocabulary has a billion tokens. */
const tokenId = /^(0|[1-9][0-9]{0,8})$/;

/** Token id (as a decimal string, as JSON has it) to bias. */
export const logitBias = z
  .record(z.string(), z.number().min(-limits.logitBiasAbsMax).max(limits.logitBiasAbsMax))
  .refine((value) => Object.keys(value).length <= limits.logitBiasEntriesMax, {
    error: `must have at most ${limits.logitBiasEntriesMax} entries`,
    abort: true,
  })
  .refine((value) => Object.keys(value).every((key) => tokenId.test(key)), {
    error: "must have token ids as keys",
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
    error: `must be an integer from -${limits.seedAbsMax} to ${limits.seedAbsMax}`,
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

const repetitionPenalty = z.number().positive().max(limits.repetitionPenaltyMax).nullish();

/** How the next token is drawn. The last four and, in Responses, all but two are extensions. */
export const sampling = {
  temperature: z.number().min(0).max(limits.temperatureMax).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  frequency_penalty: penalty,
  presence_penalty: penalty,
  stop: z
    .union([stopString, z.array(stopString).max(limits.stopStringsMax)], {
      error: `must be a string or a list of at most ${limits.stopStringsMax} strings`,
    })
    .nullish(),
  seed: seed.nullish(),
  logit_bias: logitBias,
  /** 0 or -1: off. */
  top_k: z.int().min(-1).max(limits.topKMax).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: repetitionPenalty,
  /** llama.cpp's name of the same. */
  repeat_penalty: repetitionPenalty,
};

/** Who goes first when there is more to do than places; within one priority clients share fairly. */
export const priorityValues = ["interactive", "normal", "batch"] as const;
export const Priority = z.enum(priorityValues);
export type Priority = z.infer<typeof Priority>;

/** Official clients send them to every API; nothing here can follow them. */
export const hints = {
  user: repeatedHint(),
  safety_identifier: repeatedHint(),
  prompt_cache_key: repeatedHint(),
  prompt_cache_retention: hint("in-memory", "in_memory"),
  prompt_cache_options: hint(),
  service_tier: hint("auto", "default"),
  moderation: hint(),
  client_metadata: hint(),
  /** llama.cpp's: what is computed of a prompt is kept anyway. */
  cache_prompt: hint(true),
};

/** Never added, so that only false is true. */
export const includeObfuscation = hint(false);

/** Where there are no tools, how they are called is all the same. */
export const tooling = {
  tools: noTools(),
  tool_choice: only(["auto", "none"], toolCalling),
  parallel_tool_calls: flag,
  functions: noTools(),
  function_call: only(["auto", "none"], toolCalling),
};

/** What would change the meaning of an answer, by the names that other APIs and servers have for it. */
export const unserved = {
  audio: absent("Audio"),
  modalities: z
    .tuple([z.literal("text", { error: notSupported(otherModality) })], {
      error: notSupported(otherModality),
    })
    .nullish(),
  web_search_options: absent("Web search"),
  previous_response_id: absent(),
  conversation: absent(),
  documents: absent(),
  chat_template: absent("A request's own chat template"),
  continue_final_message: only([false], "Going on with the last message"),
};

/** The same, of what other APIs take by these names. */
export const structuredElsewhere = {
  json_schema: absent(structuredByName),
  grammar: absent(structuredByName),
  regex: absent(structuredByName),
  ebnf: absent(structuredByName),
};

/** Handed to the chat template, as vLLM does it. What of it a template may not be given, the worker says. */
export const chatTemplateKwargs = z
  .record(z.string().max(limits.identifierCharsMax), z.unknown())
  .refine((value) => Object.keys(value).length <= limits.templateArgumentsMax, {
    error: `must have at most ${limits.templateArgumentsMax} entries`,
    abort: true,
  })
  .refine((value) => JSON.stringify(value).length <= limits.templateArgumentsCharsMax, {
    error: `must have at most ${limits.templateArgumentsCharsMax} characters as JSON`,
  })
  .refine((value) => value.tools == null, {
    error: notSupported(toolCalling),
    path: ["tools"],
  })
  .meta({ maxProperties: limits.templateArgumentsMax })
  .nullish();

/** Of generated tokens, in a usage. */
export const outputTokensDetails = z.strictObject({
  reasoning_tokens: z.int(),
  /** Of which the model had no choice: the end of reasoning whose budget is spent. An extension; absent: none. */
  forced_tokens: z.int().optional(),
});
