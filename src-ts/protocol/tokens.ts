/** Tokens of a text or a chat, and the way back, as vLLM and llama.cpp have them. */
import { z } from "zod";
import { ChatMessage } from "./chat.js";
import * as fields from "./fields.js";
import * as limits from "./limits.js";
import { CreateResponseBody } from "./responses.js";
import { chatTooling } from "./tools.js";

/** `prompt` or `messages` as vLLM has them, or `content` as llama.cpp has it. */
export const TokenizeBody = z.object({
  ...chatTooling,
  model: fields.model,
  prompt: fields.text.nullish(),
  content: fields.text.nullish(),
  messages: z.array(ChatMessage).min(1).max(limits.messagesMax).nullish(),
  chat_template_kwargs: fields.chatTemplateKwargs,
  /** What the tokenizer puts around a text: true unless it is false; a chat's template has its own. */
  add_special_tokens: fields.flag,
  /** The same of `content`: false unless it is true. */
  add_special: fields.flag,
  parse_special: fields.only([true], "Control tokens as text"),
  add_generation_prompt: fields.only([true], "A prompt without the beginning of an answer"),
  continue_final_message: fields.only([false], "Going on with the last message"),
  /** What each token says, in `token_strs`, or beside its id. */
  return_token_strs: fields.flag,
  with_pieces: fields.flag,
});
export type TokenizeBody = z.infer<typeof TokenizeBody>;

export const Tokenization = z.strictObject({
  count: z.int(),
  /** Tokens of prompt and answer together; null until a worker has loaded the model. */
  max_model_len: z.int().nullable(),
  tokens: z.union([z.array(z.int()), z.array(z.strictObject({ id: z.int(), piece: z.string() }))]),
  token_strs: z.array(z.string()).nullable(),
});
export type Tokenization = z.infer<typeof Tokenization>;

const tokenId = z.int().min(0).max(limits.tokenIdMax);

export const DetokenizeBody = z.object({
  model: fields.model,
  tokens: z.array(tokenId).max(limits.promptTokensMax),
});
export type DetokenizeBody = z.infer<typeof DetokenizeBody>;

/** The same text by vLLM's name and by llama.cpp's. */
export const Detokenization = z.strictObject({ prompt: z.string(), content: z.string() });
export type Detokenization = z.infer<typeof Detokenization>;

/** Of POST /v1/responses/input_tokens: what a response would read. */
export const InputTokensBody = CreateResponseBody.extend({
  input: CreateResponseBody.shape.input.optional(),
});
export type InputTokensBody = z.infer<typeof InputTokensBody>;

export const InputTokens = z.strictObject({
  object: z.literal("response.input_tokens"),
  input_tokens: z.int(),
});
export type InputTokens = z.infer<typeof InputTokens>;
