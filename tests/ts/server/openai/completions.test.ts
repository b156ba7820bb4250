import { describe, expect, it } from "vitest";
import { ServingError } from "../../../../src-ts/errors.js";
import { Completion, ErrorResponse } from "../../../../src-ts/protocol/index.js";
import { hello, helloParts } from "../../support/scripted-engine.js";
import { parseSse, startServer } from "../../support/test-server.js";

describe("prompts", () => {
  it("may be a text, token ids, or a list of either", async () => {
    const { post, engine } = await startServer();
    const inputFor = async (prompt: unknown) => {
      engine.submissions.length = 0;
      const answer = await post("/v1/completions", { prompt });
      expect(answer.status).toBe(200);
      return engine.submissions.map(({ input }) => input);
    };
    const text = (value: string) => ({ kind: "text", text: value });
    const tokens = (...ids: number[]) => ({
      kind: "tokens",
      tokens: Buffer.from(new Uint32Array(ids).buffer),
    });
    expect(await inputFor("a")).toEqual([text("a")]);
    expect(await inputFor(["a", "b"])).toEqual([text("a"), text("b")]);
    expect(await inputFor([1, 4_294_967_295])).toEqual([tokens(1, 4_294_967_295)]);
    expect(await inputFor([[1], [2, 3]])).toEqual([tokens(1), tokens(2, 3)]);
  });

  it("count once each, however many choices they have", async () => {
    const { post, engine } = await startServer();
    const answer = await post("/v1/completions", { prompt: ["a", "b"], n: 3, max_tokens: 9 });
    const completion = Completion.parse(await answer.json());
    expect(completion.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(completion.choices[5]).toMatchObject({ text: hello, finish_reason: "stop" });
    expect(completion.usage).toMatchObject({
      prompt_tokens: 14,
      completion_tokens: 6 * helloParts.length,
      prompt_tokens_details: { cached_tokens: 6 },
    });
    expect(engine.submissions.map(({ input }) => (input as { text: string }).text)).toEqual([
      "a",
      "a",
      "a",
      "b",
      "b",
      "b",
    ]);
  });

  it("times n have a bound", async () => {
    const { post } = await startServer();
    const prompt = Array.from({ length: 64 }, () => "x");
    const answer = await post("/v1/completions", { prompt, n: 3 });
    expect(answer.status).toBe(400);
    const { error } = ErrorResponse.parse(await answer.json());
    expect(error.param).toBe("n");
    expect(error.message).toContain("128");
  });
});

it("takes llama.cpp's names and its way to say that there is no limit", async () => {
  const { post, engine } = await startServer({ strict: true });
  const ask = async (body: object) => {
    expect((await post("/v1/completions", { prompt: "a", ...body })).status).toBe(200);
    return engine.submissions.at(-1)!;
  };
  const named = await ask({ n_predict: 5, repeat_penalty: 1.5, cache_prompt: true });
  expect(named.maxTokens).toBe(5);
  expect(named.sampling.repetitionPenalty).toBe(1.5);
  expect((await ask({ max_tokens: -1 })).maxTokens).toBeUndefined();
  const hint = await post("/v1/completions", { prompt: "a", cache_prompt: false });
  expect(ErrorResponse.parse(await hint.json()).error.param).toBe("cache_prompt");
});

it("streams chunks, usage if asked for, and [DONE]", async () => {
  const { post } = await startServer();
  const body = { prompt: "x", stream: true, stream_options: { include_usage: true } };
  const { events } = parseSse(await (await post("/v1/completions", body)).text());
  expect(events.at(-1)!.data).toBe("[DONE]");
  const chunks = events.slice(0, -1).map(({ data }) => Completion.parse(JSON.parse(data)));
  expect(chunks.map(({ choices }) => choices[0]?.text ?? "").join("")).toBe(hello);
  expect(chunks.at(-2)!.choices[0]!.finish_reason).toBe("stop");
  expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 7 } });
});

it("gives log probabilities as parallel lists, whose offsets go on from chunk to chunk", async () => {
  const { post } = await startServer();
  const offsets = helloParts.map((_, index) => helloParts.slice(0, index).join("").length);
  const whole = Completion.parse(
    await (await post("/v1/completions", { prompt: "x", logprobs: 1 })).json(),
  );
  expect(whole.choices[0]!.logprobs).toMatchObject({
    tokens: helloParts,
    text_offset: offsets,
    token_logprobs: helloParts.map(() => -0.5),
  });
  expect(whole.choices[0]!.logprobs!.top_logprobs[0]).toEqual({ Hello: -0.5 });
  const body = { prompt: "x", logprobs: 1, stream: true };
  const { events } = parseSse(await (await post("/v1/completions", body)).text());
  const streamed = events
    .slice(0, -1)
    .flatMap(
      ({ data }) => Completion.parse(JSON.parse(data)).choices[0]?.logprobs?.text_offset ?? [],
    );
  expect(streamed).toEqual(offsets);
});

it("calls the prompt by its name, also in what the engine says of it", async () => {
  const { post, engine } = await startServer();
  engine.refusal = new ServingError("input must not be empty", {
    code: "invalid_prompt",
    status: 400,
    param: "input",
  });
  const answer = await post("/v1/completions", { prompt: "x" });
  expect(await answer.json()).toMatchObject({
    error: { param: "prompt", message: "prompt must not be empty" },
  });
});
