/** POST /v1/completions: body, answer, chunks (which have the answer's shape). */
import { z } from "zod";
import { ChatFinishReason, CompletionUsage, StreamOptions, stopReason } from "./chat.js";
import * as fields from "./fields.js";
import * as limits from "./limits.js";
import { structuredOutput } from "./structured-output.js";

/** A text, a list of texts, token ids, or a list of lists of token ids. */
export type Prompt = string | string[] | number[] | number[][];

function isText(value: unknown): value is string {
  return typeof value === "string" && value.length <= limits.textCharsMax;
}

function isPrompt(value: unknown): value is Prompt {
  if (isText(value) || fields.isTokenIds(value)) return true;
  if (!Array.isArray(value) || value.length < 1 || value.length > limits.promptsMax) return false;
  return value.every(isText) || value.every(fields.isTokenIds);
}

const textSchema = { type: "string", maxLength: limits.textCharsMax };

/** `isPrompt` as JSON Schema says it. */
const promptSchema = fields.textsOrTokensSchema(textSchema, limits.promptsMax);

export const CompletionBody = z.object({
  ...fields.sampling,
  ...fields.tokenLimits,
  /** 0: no answer, where the prompt's own tokens are all that is wanted. */
  max_tokens: fields.tokenCountOrNone,
  ...fields.hints,
  ...fields.tooling,
  ...fields.unserved,
  ...structuredOutput,
  /** Checked in one go: a complaint for each of a hundred thousand wrong elements helps nobody. */
  prompt: z
    .custom<Prompt>(isPrompt, {
      error: `must be a string, a list of token ids, or a list of at most ${limits.promptsMax} of either`,
    })
    .meta(promptSchema),
  model: fields.model,
  n: z.int().min(1).max(limits.choicesPerPromptMax).nullish(),
  logprobs: z.int().min(0).max(limits.topLogprobsMax).nullish(),
  stream: fields.flag,
  stream_options: StreamOptions,
  best_of: fields.only([1]),
  /** The prompt before the answer; with `logprobs` those of its tokens too. */
  echo: fields.flag,
  suffix: fields.only([""]),
});
export type CompletionBody = z.infer<typeof CompletionBody>;

export const CompletionLogprobs = z.strictObject({
  tokens: z.array(z.string()),
  /** Null of a prompt's first token, which has nothing before it. */
  token_logprobs: z.array(z.number().nullable()),
  top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
  /** UTF-16 units from the start of the completion. */
  text_offset: z.array(z.int()),
});
export type CompletionLogprobs = z.infer<typeof CompletionLogprobs>;

export const Completion = z.strictObject({
  id: z.string(),
  object: z.literal("text_completion"),
  /** Unix seconds. */
  created: z.int(),
  model: z.string(),
  choices: z.array(
    z.strictObject({
      index: z.int(),
      text: z.string(),
      logprobs: CompletionLogprobs.nullable(),
      finish_reason: ChatFinishReason.nullable(),
      stop_reason: stopReason,
    }),
  ),
  /** In a stream only if `stream_options.include_usage`: null until the last chunk. */
  usage: CompletionUsage.nullable().optional(),
});
export type Completion = z.infer<typeof Completion>;
