/** POST /v1/completions: body, answer, chunks (which have the answer's shape). */
import { z } from "zod";
import { ChatFinishReason, CompletionUsage, StreamOptions } from "./chat.js";
import * as fields from "./fields.js";
import * as limits from "./limits.js";

const tokenIds = z.array(z.int().min(0).max(limits.tokenIdMax)).min(1).max(limits.promptTokensMax);

export const CompletionBody = z.strictObject({
  ...fields.sampling,
  ...fields.inert,
  /** A text, a list of texts, token ids, or a list of lists of token ids. */
  prompt: z.union(
    [
      fields.text,
      z.array(fields.text).min(1).max(limits.promptsMax),
      tokenIds,
      z.array(tokenIds).min(1).max(limits.promptsMax),
    ],
    {
      error: `prompt is a string, a list of token ids, or a list of at most ${limits.promptsMax} of either.`,
    },
  ),
  model: fields.model,
  max_tokens: fields.tokenCount,
  n: z.int().min(1).max(limits.choicesPerPromptMax).nullish(),
  logprobs: z.int().min(0).max(limits.topLogprobsMax).nullish(),
  stream: fields.flag,
  stream_options: StreamOptions,
  best_of: fields.only([1], "best_of"),
  echo: fields.only([false], "echo"),
  suffix: fields.only([""], "suffix"),
});
export type CompletionBody = z.infer<typeof CompletionBody>;

export const CompletionLogprobs = z.strictObject({
  tokens: z.array(z.string()),
  token_logprobs: z.array(z.number()),
  top_logprobs: z.array(z.record(z.string(), z.number())),
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
    }),
  ),
  /** In a stream only if `stream_options.include_usage`: null until the last chunk. */
  usage: CompletionUsage.nullable().optional(),
});
export type Completion = z.infer<typeof Completion>;
