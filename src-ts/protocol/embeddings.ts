/** POST /v1/embeddings and /v1/rerank: bodies and answers, as OpenAI's API and Jina's have them. */
import { z } from "zod";
import * as fields from "./fields.js";
import * as limits from "./limits.js";

/** A text, token ids, or a list of either. */
export type EmbeddingInput = string | number[] | (string | number[])[];

const isText = (value: unknown): value is string =>
  typeof value === "string" && value !== "" && value.length <= limits.textCharsMax;

function isInput(value: unknown): value is EmbeddingInput {
  if (isText(value) || fields.isTokenIds(value)) return true;
  if (!Array.isArray(value) || value.length < 1 || value.length > limits.embeddingInputsMax)
    return false;
  return value.every(isText) || value.every(fields.isTokenIds);
}

const textSchema = { type: "string", minLength: 1, maxLength: limits.textCharsMax };

export const EmbeddingsBody = z.object({
  ...fields.hints,
  model: fields.model,
  input: z
    .custom<EmbeddingInput>(isInput, {
      error: `must be a text, token ids, or a list of at most ${limits.embeddingInputsMax} of either, none of them empty`,
    })
    .meta(fields.textsOrTokensSchema(textSchema, limits.embeddingInputsMax)),
  encoding_format: z.enum(["float", "base64"]).nullish(),
  /** The first so many numbers, made as long as before. */
  dimensions: z.int().min(1).max(limits.dimensionsMax).nullish(),
});
export type EmbeddingsBody = z.infer<typeof EmbeddingsBody>;

const usage = z.strictObject({ prompt_tokens: z.int(), total_tokens: z.int() });

export const Embeddings = z.strictObject({
  object: z.literal("list"),
  data: z.array(
    z.strictObject({
      object: z.literal("embedding"),
      index: z.int(),
      /** Of length 1; base64 of little-endian float32 if that was asked for. */
      embedding: z.union([z.array(z.number()), z.string()]),
    }),
  ),
  model: z.string(),
  usage,
});
export type Embeddings = z.infer<typeof Embeddings>;

const text = fields.text.min(1);
const RankedText = z.union([text, z.object({ text })], { error: "must be a text, or {text}" });

export const RerankBody = z.object({
  ...fields.hints,
  model: fields.model,
  query: text,
  documents: z.array(RankedText).min(1).max(limits.embeddingInputsMax),
  top_n: z.int().min(1).max(limits.embeddingInputsMax).nullish(),
  return_documents: fields.flag,
});
export type RerankBody = z.infer<typeof RerankBody>;

export const Reranking = z.strictObject({
  id: z.string(),
  model: z.string(),
  /** The most relevant first. */
  results: z.array(
    z.strictObject({
      index: z.int(),
      /** The cosine between query and document, −1 to 1. */
      relevance_score: z.number(),
      document: z.strictObject({ text: z.string() }).optional(),
    }),
  ),
  usage,
});
export type Reranking = z.infer<typeof Reranking>;
