import OpenAI from "openai";
import { expect, it } from "vitest";
import { ServingError } from "../../../../src-ts/errors.js";
import { Detokenization, ErrorResponse, Tokenization } from "../../../../src-ts/protocol/index.js";
import { startServer } from "../../support/test-server.js";

const messages = [{ role: "user", content: "Hi" }];

it("tokenizes as vLLM does, with what each token says where that is asked for", async () => {
  const { post, engine } = await startServer({ strict: true });
  const ask = async (body: object, path = "/v1/tokenize") =>
    Tokenization.parse(await (await post(path, body)).json());
  expect(await ask({ prompt: "ab" })).toEqual({
    count: 2,
    max_model_len: 4096,
    tokens: [97, 98],
    token_strs: null,
  });
  expect(await ask({ prompt: "a", return_token_strs: true })).toMatchObject({
    token_strs: ["<97>"],
  });
  expect((await ask({ messages, model: "second" }, "/tokenize")).max_model_len).toBeNull();
  expect((await ask({ prompt: "" })).tokens).toEqual([]);
  expect(engine.submissions.map(({ input }) => input.kind)).toEqual([
    "text",
    "text",
    "chat",
    "text",
  ]);
  expect(engine.runs).toEqual([]);
});

it("tokenizes as llama.cpp does", async () => {
  const { post, engine } = await startServer({ strict: true });
  const body = { content: "ab", with_pieces: true, parse_special: true };
  const answer = Tokenization.parse(await (await post("/tokenize", body)).json());
  expect(answer.tokens).toEqual([
    { id: 97, piece: "<97>" },
    { id: 98, piece: "<98>" },
  ]);
  expect(engine.submissions[0]!.input).toMatchObject({ special: false });
});

it("says what tokens say, none of them too", async () => {
  const { post } = await startServer();
  const ask = async (tokens: number[]) =>
    Detokenization.parse(await (await post("/v1/detokenize", { tokens })).json());
  expect(await ask([7, 8])).toEqual({ prompt: "<7><8>", content: "<7><8>" });
  expect(await ask([])).toEqual({ prompt: "", content: "" });
});

it("names the field that is wrong, by the body's own name", async () => {
  const { post, engine } = await startServer();
  const paramOf = async (path: string, body: object) => {
    const answer = await post(path, body);
    expect(answer.status).toBe(400);
    return ErrorResponse.parse(await answer.json()).error.param;
  };
  expect(await paramOf("/v1/tokenize", {})).toBe("prompt");
  expect(await paramOf("/v1/tokenize", { prompt: "a", messages })).toBe("prompt");
  expect(await paramOf("/v1/tokenize", { messages, add_special_tokens: true })).toBe(
    "add_special_tokens",
  );
  expect(await paramOf("/v1/detokenize", { tokens: [-1] })).toBe("tokens[0]");
  engine.refusal = new ServingError("input: no", { code: "x", status: 400, param: "input" });
  expect(await paramOf("/v1/tokenize", { content: "a" })).toBe("content");
  expect(await paramOf("/v1/detokenize", { tokens: [1] })).toBe("tokens");
});

it("counts the tokens of a response, for OpenAI's client", async () => {
  const { url, engine, post } = await startServer();
  const client = new OpenAI({ apiKey: "any", baseURL: `${url}/v1`, maxRetries: 0 });
  const counted = await client.responses.inputTokens.count({
    model: "org/first",
    instructions: "Be brief.",
    input: "Hi",
  });
  expect(counted).toMatchObject({ object: "response.input_tokens", input_tokens: 7 });
  expect(engine.submissions[0]!.input).toMatchObject({
    messages: [{ role: "system" }, { role: "user", content: "Hi" }],
  });
  expect(engine.runs).toEqual([]);
  expect((await post("/v1/responses/input_tokens", {})).status).toBe(400);
});
