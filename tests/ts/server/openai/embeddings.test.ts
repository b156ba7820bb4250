import OpenAI from "openai";
import { expect, it } from "vitest";
import { ServingError } from "../../../../src-ts/errors.js";
import { Embeddings, ErrorResponse, Reranking } from "../../../../src-ts/protocol/index.js";
import { startServer } from "../../support/test-server.js";

it("gives a vector for each text, in order, for OpenAI's client", async () => {
  const { url, engine } = await startServer();
  const client = new OpenAI({ apiKey: "any", baseURL: `${url}/v1`, maxRetries: 0 });
  const model = "org/first";
  const input = Array.from({ length: 150 }, (_, i) => "x".repeat(i + 1));
  // The client asks for base64 itself, and reads it.
  const { data, usage } = await client.embeddings.create({ model, input });
  expect(data.map(({ index }) => index)).toEqual(input.map((_, i) => i));
  expect(data.map(({ embedding }) => embedding)).toEqual(input.map((_, i) => [(i + 1) % 10, 1]));
  expect(usage).toEqual({ prompt_tokens: 21, total_tokens: 21 });
  expect(
    engine.submissions.map(({ input: { kind, ...rest } }) => [kind, Object.keys(rest)]),
  ).toEqual(Array.from({ length: 3 }, () => ["texts", ["texts"]]));
  const floats = await client.embeddings.create({ model, input: "ab", encoding_format: "float" });
  expect(floats.data).toEqual([{ object: "embedding", index: 0, embedding: [2, 1] }]);
});

it("takes tokens, and fewer dimensions of length 1", async () => {
  const { post } = await startServer({ strict: true });
  const ask = async (body: object) =>
    Embeddings.parse(await (await post("/v1/embeddings", body)).json()).data.map(
      ({ embedding }) => embedding,
    );
  expect(await ask({ input: [1, 2, 3], user: null })).toEqual([[12 % 10, 1]]);
  expect(await ask({ input: [[1], [2, 3]] })).toHaveLength(2);
  expect(await ask({ input: "abc", dimensions: 1 })).toEqual([[1]]);
});

it("names the text that is wrong by its place in the body, and the limit", async () => {
  const { post, engine } = await startServer();
  const errorOf = async (body: object, path = "/v1/embeddings") => {
    const answer = await post(path, body);
    expect(answer.status).toBe(400);
    return ErrorResponse.parse(await answer.json()).error;
  };
  for (const input of ["", [], [""], [1, "a"], ["a", [1]], Array(2_049).fill("a"), null])
    expect((await errorOf({ input })).param, JSON.stringify(input)).toBe("input");
  const many = await errorOf({ input: Array(2_049).fill("a") });
  expect(many.message).toContain("2048");
  expect((await errorOf({ input: "a", dimensions: 3 })).message).toContain("at most 2");
  const refusal = (place: string) =>
    new ServingError(`${place}: 300 tokens; the limit is 256`, {
      code: "context_length_exceeded",
      status: 400,
      param: place,
    });
  engine.refusal = refusal("input[0]");
  expect(await errorOf({ input: "a" })).toMatchObject({
    param: "input",
    message: "input: 300 tokens; the limit is 256",
  });
  engine.refusal = refusal("input[6]");
  expect((await errorOf({ input: Array(70).fill("a") })).param).toBe("input[6]");
  expect((await errorOf({ query: "a", documents: Array(9).fill("a") }, "/v1/rerank")).param).toBe(
    "documents[5]",
  );
});

it("ranks documents by their cosines", async () => {
  const { post } = await startServer({ strict: true });
  const body = { query: "aaa", documents: ["a", { text: "abcdefghi" }, "abc"], top_n: 2 };
  const answer = await post("/v1/rerank", { ...body, return_documents: true });
  const { results, usage } = Reranking.parse(await answer.json());
  expect(results).toEqual([
    { index: 1, relevance_score: 28, document: { text: "abcdefghi" } },
    { index: 2, relevance_score: 10, document: { text: "abc" } },
  ]);
  expect(usage).toEqual({ prompt_tokens: 7, total_tokens: 7 });
});
