import OpenAI from "openai";
import { expect, it } from "vitest";
import { ServingError } from "../../../../src-ts/errors.js";
import { Completion, ErrorResponse } from "../../../../src-ts/protocol/index.js";
import { hello, helloParts } from "../../support/scripted-engine.js";
import { startServer } from "../../support/test-server.js";

it("has the prompt before each answer, and the probabilities of both, for OpenAI's client", async () => {
  const { url } = await startServer();
  const client = new OpenAI({ apiKey: "any", baseURL: `${url}/v1`, maxRetries: 0 });
  const asked = { model: "org/first", prompt: ["ab", "c"], echo: true, logprobs: 1, n: 2 };
  const { choices, usage } = await client.completions.create(asked);
  expect(choices.map(({ text }) => text)).toEqual(
    ["ab", "ab", "c", "c"].map((prompt) => prompt + hello),
  );
  const { tokens, token_logprobs, top_logprobs, text_offset } = choices[0]!.logprobs!;
  expect(tokens!.slice(0, 3)).toEqual(["a", "b", helloParts[0]]);
  expect(token_logprobs!.slice(0, 3)).toEqual([null, -0.25, -0.5]);
  expect(top_logprobs!.slice(0, 2)).toEqual([null, { b: -0.25 }]);
  expect(text_offset!.slice(0, 3)).toEqual([0, 1, 2]);
  expect(usage).toMatchObject({ prompt_tokens: 14 });
});

it("generates nothing where no token is wanted, and says what tokens say", async () => {
  const { post, engine } = await startServer({ strict: true });
  const ask = async (body: object) =>
    Completion.parse(await (await post("/v1/completions", { echo: true, ...body })).json());
  const scored = await ask({ prompt: "abc", max_tokens: 0, logprobs: 0 });
  expect(scored.choices[0]).toMatchObject({ text: "abc", finish_reason: "length" });
  expect(scored.choices[0]!.logprobs!.token_logprobs).toEqual([null, -0.25, -0.25]);
  expect(engine.submissions.map(({ reading }) => reading)).toEqual([{ kind: "score", top: 0 }]);
  expect((await ask({ prompt: [7, 8] })).choices[0]!.text).toBe(`<7><8>${hello}`);
});

it("is the first piece of each answer of a stream", async () => {
  const { url } = await startServer();
  const client = new OpenAI({ apiKey: "any", baseURL: `${url}/v1`, maxRetries: 0 });
  const streamed = async (prompt: string[] | number[], n: number) => {
    const pieces: string[][] = [];
    const asked = { model: "org/first", prompt, n, echo: true, stream: true as const };
    for await (const { choices } of await client.completions.create(asked))
      for (const { index, text, finish_reason } of choices) {
        pieces[index] ??= [];
        if (finish_reason === null) pieces[index].push(text);
      }
    return pieces;
  };
  const expected = ["ab", "ab", "c", "c"].map((prompt) => [prompt, ...helloParts]);
  expect(await streamed(["ab", "c"], 2)).toEqual(expected);
  expect((await streamed([7, 8], 1))[0]![0]).toBe("<7><8>");
});

it("streams the log probabilities that it has as a whole, the prompt's with its text", async () => {
  const { url } = await startServer();
  const client = new OpenAI({ apiKey: "any", baseURL: `${url}/v1`, maxRetries: 0 });
  const asked = { model: "org/first", prompt: ["ab", "c"], echo: true, logprobs: 1, n: 2 };
  const whole = await client.completions.create(asked);
  const pieces: OpenAI.CompletionChoice[][] = [];
  for await (const { choices } of await client.completions.create({ ...asked, stream: true }))
    for (const choice of choices) {
      pieces[choice.index] ??= [];
      pieces[choice.index]!.push(choice);
    }
  for (const { index, text, logprobs, finish_reason } of whole.choices) {
    const mine = pieces[index]!;
    expect(mine.map((piece) => piece.text).join("")).toBe(text);
    expect(mine[0]).toMatchObject({ text: asked.prompt[Math.floor(index / 2)] });
    expect(mine.at(-1)!.finish_reason).toBe(finish_reason);
    for (const name of ["tokens", "token_logprobs", "top_logprobs", "text_offset"] as const)
      expect(mine.flatMap((piece): unknown[] => piece.logprobs?.[name] ?? [])).toEqual(
        logprobs![name],
      );
    expect(mine[0]!.logprobs!.token_logprobs![0]).toBeNull();
  }
});

it("is refused as the reading of its prompt is, before anything is streamed", async () => {
  const { post, engine } = await startServer();
  engine.refusal = new ServingError("Too many wait.", { code: "queue_full", status: 429 });
  const body = { prompt: "a", echo: true, stream: true, logprobs: 0 };
  const answer = await post("/v1/completions", body);
  expect(answer.status).toBe(429);
  expect(ErrorResponse.parse(await answer.json()).error.code).toBe("queue_full");
});
