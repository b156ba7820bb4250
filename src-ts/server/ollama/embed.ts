/** POST /api/embed, and /api/embeddings, which it was before. */
import type { FastifyReply } from "fastify";
import {
  type OllamaEmbed,
  OllamaEmbedBody,
  type OllamaEmbeddings,
  OllamaEmbeddingsBody,
} from "../../protocol/ollama.js";
import type { ServerContext } from "../context.js";
import type { HttpCaller } from "../http/caller.js";
import { embed as read } from "../openai/embeddings.js";
import { nanoseconds } from "../render/ollama.js";
import { shortened } from "../render/vectors.js";
import { tolerateBody } from "../validation/tolerance.js";
import { findModel, servedName } from "./models.js";

export async function embed(
  context: ServerContext,
  caller: HttpCaller,
  given: unknown,
  reply: FastifyReply,
): Promise<OllamaEmbed> {
  const startedAt = context.now();
  const { model, input, dimensions } = tolerateBody(context, OllamaEmbedBody, given, reply);
  const nameOf = (index: number) => (Array.isArray(input) ? `input[${index}]` : "input");
  const texts = [input || []].flat();
  const found = await vectorsOf(context, caller, { texts, model, nameOf }, reply);
  return {
    model: found.model,
    embeddings: found.vectors.map((one) => Array.from(shortened(one, dimensions ?? one.length))),
    total_duration: nanoseconds(context.now() - startedAt),
    load_duration: 0,
    prompt_eval_count: found.promptTokens,
  };
}

export async function embeddings(
  context: ServerContext,
  caller: HttpCaller,
  given: unknown,
  reply: FastifyReply,
): Promise<OllamaEmbeddings> {
  const { model, prompt } = tolerateBody(context, OllamaEmbeddingsBody, given, reply);
  const texts = [prompt || []].flat();
  const asked = { texts, model, nameOf: () => "prompt" };
  const { vectors } = await vectorsOf(context, caller, asked, reply);
  return { embedding: Array.from(vectors[0] ?? []) };
}

/** Without a text: whether the model is there, as in chats. Throws 404. */
async function vectorsOf(
  context: ServerContext,
  caller: HttpCaller,
  asked: Parameters<typeof read>[2],
  reply: FastifyReply,
) {
  const model = servedName(context.engine, caller.owner, asked.model);
  if (asked.texts.length > 0) return read(context, caller, { ...asked, model }, reply);
  caller.lease?.release();
  const { id } = findModel(context.engine, caller.owner, model);
  return { model: id, vectors: [], promptTokens: 0 };
}
