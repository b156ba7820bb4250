/** POST /v1/embeddings and /v1/rerank. Both read texts; a rerank compares what comes of them. */
import type { FastifyReply } from "fastify";
import { isServingError } from "../../errors.js";
import {
  type Embeddings,
  EmbeddingsBody,
  RerankBody,
  type Reranking,
} from "../../protocol/embeddings.js";
import type { ServerContext } from "../context.js";
import { withParam } from "../errors.js";
import type { HttpCaller } from "../http/caller.js";
import { goneSignal } from "../http/client-gone.js";
import { dot, inBase64, shortened, vectorsIn } from "../render/vectors.js";
import { embeddingGroups, type One, textsOf } from "../submissions/embeddings.js";
import { tolerateBody } from "../validation/tolerance.js";
import { untilAllEnded } from "./choices.js";
import { submitAll } from "./submit-all.js";

interface Asked {
  texts: readonly One[];
  model: string | null | undefined;
  nameOf(index: number): string;
}

export interface Embedded {
  id: string;
  model: string;
  vectors: Float32Array[];
  promptTokens: number;
}

export async function embeddings(
  context: ServerContext,
  caller: HttpCaller,
  body: unknown,
  reply: FastifyReply,
): Promise<Embeddings> {
  const asked = tolerateBody(context, EmbeddingsBody, body, reply);
  const { encoding_format, dimensions } = asked;
  const isOne = !Array.isArray(asked.input) || typeof asked.input[0] === "number";
  const nameOf = (index: number) => (isOne ? "input" : `input[${index}]`);
  const texts = { texts: textsOf(asked.input), model: asked.model, nameOf };
  const { model, vectors, promptTokens } = await embed(context, caller, texts, reply);
  const shown = vectors.map((vector) => shortened(vector, dimensions ?? vector.length));
  return {
    object: "list",
    data: shown.map((vector, index) => ({
      object: "embedding",
      index,
      embedding: encoding_format === "base64" ? inBase64(vector) : Array.from(vector),
    })),
    model,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
  };
}

/** By the cosines of embeddings: no model here compares two texts itself. */
export async function rerank(
  context: ServerContext,
  caller: HttpCaller,
  body: unknown,
  reply: FastifyReply,
): Promise<Reranking> {
  const asked = tolerateBody(context, RerankBody, body, reply);
  const texts = asked.documents.map((one) => (typeof one === "string" ? one : one.text));
  const nameOf = (index: number) => (index === 0 ? "query" : `documents[${index - 1}]`);
  const all = { texts: [asked.query, ...texts], model: asked.model, nameOf };
  const read = await embed(context, caller, all, reply);
  const [query, ...documents] = read.vectors;
  const results = documents
    .map((vector, index) => ({
      index,
      relevance_score: dot(query!, vector),
      ...(asked.return_documents && { document: { text: texts[index]! } }),
    }))
    .toSorted((a, b) => b.relevance_score - a.relevance_score)
    .slice(0, asked.top_n ?? undefined);
  const usage = { prompt_tokens: read.promptTokens, total_tokens: read.promptTokens };
  return { id: read.id, model: read.model, results, usage };
}

/** `nameOf`: of a text in the body that asks. */
export async function embed(
  { engine }: ServerContext,
  caller: HttpCaller,
  { texts, model, nameOf }: Asked,
  reply: FastifyReply,
): Promise<Embedded> {
  const gone = goneSignal(reply);
  const groups = embeddingGroups(texts, model, caller);
  const submissions = groups.map(({ submission }) => submission);
  const responses = await submitAll(engine, submissions, 1, gone, (error, group) => {
    throw named(error, groups[group]!.first, nameOf);
  }).finally(() => caller.lease?.release());
  await untilAllEnded(responses, gone);
  const vectors = responses.flatMap(({ reading }, i) => {
    const { input } = submissions[i]!;
    const count = input.kind === "texts" ? input.texts.length : 0;
    return vectorsIn(reading!.vectors!, count);
  });
  const promptTokens = responses.reduce((sum, one) => sum + one.promptTokens.length, 0);
  return { id: responses[0]!.id, model: responses[0]!.model, vectors, promptTokens };
}

/** A worker knows places in its group, whoever asks those in the body. */
function named(error: unknown, first: number, nameOf: (index: number) => string): unknown {
  const param = isServingError(error) ? (error.param ?? "") : "";
  const [, place] = /^input(?:\[(\d+)\])?$/.exec(param) ?? [];
  return place === undefined ? error : withParam(error, param, nameOf(first + Number(place)));
}
