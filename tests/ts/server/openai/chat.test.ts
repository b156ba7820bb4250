import { describe, expect, it } from "vitest";
import { ChatChunk, ChatCompletion, ErrorResponse } from "../../../../src-ts/protocol/index.js";
import { hello, helloParts, hold, say } from "../../support/scripted-engine.js";
import { eventually, parseSse, rawConnection, startServer } from "../../support/test-server.js";

const messages = [{ role: "user", content: "hi" }];

async function chunksOf(answer: Response): Promise<{ chunks: ChatChunk[]; last: string }> {
  const { events } = parseSse(await answer.text());
  const last = events.at(-1)!.data;
  return { chunks: events.slice(0, -1).map(({ data }) => ChatChunk.parse(JSON.parse(data))), last };
}

describe("one answer", () => {
  it("has text, finish reason and exact usage", async () => {
    const { post } = await startServer();
    const answer = await post("/v1/chat/completions", { messages });
    const completion = ChatCompletion.parse(await answer.json());
    expect(completion.model).toBe("org/first");
    expect(completion.choices).toEqual([
      {
        index: 0,
        message: { role: "assistant", content: hello, refusal: null },
        logprobs: null,
        finish_reason: "stop",
      },
    ]);
    expect(completion.usage).toMatchObject({
      prompt_tokens: 7,
      completion_tokens: helloParts.length,
      total_tokens: 7 + helloParts.length,
      prompt_tokens_details: { cached_tokens: 3 },
    });
  });

  it("has several choices whose prompt counts once, each with a seed of its own", async () => {
    const { post, engine } = await startServer();
    const answer = await post("/v1/chat/completions", { messages, n: 3, seed: 4_294_967_295 });
    const completion = ChatCompletion.parse(await answer.json());
    expect(completion.choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(completion.usage).toMatchObject({
      prompt_tokens: 7,
      completion_tokens: 3 * helloParts.length,
    });
    const seeds = engine.submissions.map(({ sampling }) => sampling.seed);
    expect(seeds).toEqual([4_294_967_295n, 4_294_967_296n, 4_294_967_297n]);
  });

  it("has log probabilities if asked for", async () => {
    const { post } = await startServer();
    const body = { messages, logprobs: true, top_logprobs: 2 };
    const completion = ChatCompletion.parse(
      await (await post("/v1/chat/completions", body)).json(),
    );
    const { content } = completion.choices[0]!.logprobs!;
    expect(content.map(({ token }) => token)).toEqual(helloParts);
    expect(content[0]!.top_logprobs).toHaveLength(2);
  });
});

describe("what the engine gets", () => {
  it("leaves what the model has defaults for to the model", async () => {
    const { post, engine } = await startServer();
    await post("/v1/chat/completions", { messages });
    expect(engine.submissions[0]).toMatchObject({
      model: undefined,
      input: { kind: "chat", messages },
      maxTokens: undefined,
      store: false,
      abandonment: { kind: "cancel" },
    });
    expect(engine.submissions[0]!.sampling).toEqual({
      seed: expect.any(Number),
      presencePenalty: 0,
      frequencyPenalty: 0,
      logitBias: [],
      stop: [],
      logprobs: -1,
    });
  });

  it("has every field translated", async () => {
    const { post, engine } = await startServer();
    await post("/v1/chat/completions", {
      model: "second",
      messages: [
        {
          role: "developer",
          content: [
            { type: "text", text: "be " },
            { type: "text", text: "kind" },
          ],
        },
        { role: "user", content: "hi", name: "Ann" },
        { role: "assistant", content: "hello", refusal: null, tool_calls: [] },
      ],
      max_completion_tokens: 5,
      temperature: 0,
      top_p: 0,
      top_k: -1,
      seed: -1,
      stop: "END",
      logit_bias: { "17": -100 },
      logprobs: true,
    });
    expect(engine.submissions[0]).toMatchObject({
      model: "second",
      maxTokens: 5,
      input: {
        messages: [
          { role: "system", content: "be kind" },
          { role: "user", content: "hi", name: "Ann" },
          { role: "assistant", content: "hello" },
        ],
      },
      // top_p 0 leaves the likeliest token alone.
      sampling: {
        temperature: 0,
        topP: 1,
        topK: 1,
        seed: -1n,
        stop: ["END"],
        logprobs: 0,
        logitBias: [[17, -100]],
      },
    });
  });

  it.each([
    [{ max_tokens: 5, max_completion_tokens: 6 }, "max_tokens"],
    [{ top_logprobs: 2 }, "top_logprobs"],
    [{ stream_options: { include_usage: true } }, "stream_options"],
  ])("is nothing if fields contradict each other: %j", async (fields, param) => {
    const { post, engine } = await startServer();
    const answer = await post("/v1/chat/completions", { messages, ...fields });
    expect(answer.status).toBe(400);
    expect(ErrorResponse.parse(await answer.json()).error.param).toBe(param);
    expect(engine.submissions).toEqual([]);
  });
});

describe("a stream", () => {
  it("has the role first, one id, a finish reason last, and [DONE]", async () => {
    const { post } = await startServer();
    const answer = await post("/v1/chat/completions", { messages, stream: true });
    expect(answer.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    const { chunks, last } = await chunksOf(answer);
    expect(last).toBe("[DONE]");
    expect(chunks[0]!.choices[0]!.delta).toEqual({ role: "assistant", content: "" });
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    const text = chunks.map(({ choices }) => choices[0]!.delta.content ?? "").join("");
    expect(text).toBe(hello);
    const reasons = chunks.map(({ choices }) => choices[0]!.finish_reason);
    expect(reasons.slice(0, -1).every((reason) => reason === null)).toBe(true);
    expect(reasons.at(-1)).toBe("stop");
    expect(chunks.every((chunk) => !("usage" in chunk))).toBe(true);
  });

  it("has a usage chunk only if asked for", async () => {
    const { post } = await startServer();
    const body = { messages, stream: true, stream_options: { include_usage: true }, n: 2 };
    const { chunks, last } = await chunksOf(await post("/v1/chat/completions", body));
    expect(last).toBe("[DONE]");
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    expect(chunks.at(-1)!.choices).toEqual([]);
    expect(chunks.at(-1)!.usage).toMatchObject({
      prompt_tokens: 7,
      completion_tokens: 2 * helloParts.length,
    });
    for (const index of [0, 1]) {
      const own = chunks.flatMap(({ choices }) =>
        choices.filter((choice) => choice.index === index),
      );
      expect(own.map(({ delta }) => delta.content ?? "").join("")).toBe(hello);
      expect(own.at(-1)!.finish_reason).toBe("stop");
    }
  });

  it("has log probabilities chunk by chunk", async () => {
    const { post } = await startServer();
    const body = { messages, stream: true, logprobs: true, top_logprobs: 1 };
    const { chunks } = await chunksOf(await post("/v1/chat/completions", body));
    const tokens = chunks.flatMap(({ choices }) => choices[0]!.logprobs?.content ?? []);
    expect(tokens.map(({ token }) => token)).toEqual(helloParts);
  });

  it("is kept alive by comments while nothing comes", async () => {
    const { post, engine } = await startServer({ limits: { sseKeepAliveMs: 20 } });
    engine.script = hold;
    const answer = await post("/v1/chat/completions", { messages, stream: true });
    expect(answer.status).toBe(200);
    const reader = answer.body!.getReader();
    let text = "";
    while (text.split(": keep-alive\n\n").length < 3) {
      const { value } = await reader.read();
      text += Buffer.from(value!).toString();
    }
    engine.runs[0]!.emit("late");
    engine.runs[0]!.end({ kind: "length" });
    for (let part = await reader.read(); !part.done; part = await reader.read())
      text += Buffer.from(part.value).toString();
    const { events, comments } = parseSse(text);
    expect(comments).toBeGreaterThanOrEqual(2);
    expect(events.at(-1)!.data).toBe("[DONE]");
    expect(events.at(-2)!.data).toContain('"finish_reason":"length"');
  });

  it("that the client closes is cancelled, and so are all its choices", async () => {
    const { post, engine } = await startServer();
    engine.script = hold;
    const controller = new AbortController();
    const { signal } = controller;
    const answer = post("/v1/chat/completions", { messages, stream: true, n: 2 }, { signal });
    await eventually(() => engine.runs.length === 2);
    for (const run of engine.runs) run.emit("first");
    await (await answer).body!.getReader().read();
    controller.abort();
    await eventually(() => engine.runs.every(({ log }) => log.ending?.kind === "cancelled"));
  });

  it("that nobody waits for any more is cancelled before its first chunk too", async () => {
    const { post, engine } = await startServer();
    engine.script = hold;
    for (const stream of [true, false]) {
      const controller = new AbortController();
      const { signal } = controller;
      const answer = post("/v1/chat/completions", { messages, stream }, { signal });
      const count = engine.runs.length;
      await eventually(() => engine.runs.length === count + 1);
      controller.abort();
      await expect(answer).rejects.toThrow();
      await eventually(() => engine.runs.at(-1)!.log.ending?.kind === "cancelled");
    }
  });

  it("gives up while the prompt is being prepared", async () => {
    const { post, engine } = await startServer();
    let prepared = () => {};
    engine.preparing = new Promise((resolve) => {
      prepared = resolve;
    });
    const controller = new AbortController();
    const { signal } = controller;
    const answer = post("/v1/chat/completions", { messages }, { signal });
    await eventually(() => engine.submissions.length === 1);
    controller.abort();
    await expect(answer).rejects.toThrow();
    await eventually(() => engine.givenUp === 1);
    prepared();
    expect(engine.runs).toEqual([]);
  });

  it("of a reader that takes nothing stops being written to, and ends past the lag cap", async () => {
    const { url, engine } = await startServer({
      limits: { writeBufferBytesMax: 16 * 1024, lagEntriesMax: 100 },
    });
    engine.script = hold;
    const { request } = await import("node:http");
    const gone = new Promise<void>((resolve) => {
      const client = request(`${url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
      });
      client.on("response", (response) => {
        response.pause();
        response.on("close", () => resolve());
        eventually(() => engine.runs[0]!.log.ending?.kind === "cancelled").then(() =>
          response.resume(),
        );
      });
      client.on("error", () => resolve());
      client.end(JSON.stringify({ messages, stream: true }));
    });
    await eventually(() => engine.runs.length === 1);
    const [run] = engine.runs;
    const flood = setInterval(() => {
      if (run!.log.ending !== undefined) clearInterval(flood);
      else for (let i = 0; i < 20; i++) run!.emit("x".repeat(10_000));
    }, 1);
    await eventually(() => run!.log.ending?.kind === "cancelled");
    await gone;
  });
});

it("a stream of which nothing leaves any more is dropped", async () => {
  const { engine, port } = await startServer({
    limits: { sseKeepAliveMs: 30, sseStalledTicksMax: 3 },
  });
  engine.script = (run) => {
    hold(run);
    for (let i = 0; i < 200; i++) run.emit("x".repeat(100_000));
  };
  const { socket } = await rawConnection(port);
  socket.pause();
  const body = JSON.stringify({ messages, stream: true });
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  await eventually(() => engine.runs[0]?.log.ending?.kind === "cancelled");
});

describe("refusals of the engine", () => {
  it("have the status, the field of this API, and when to come back", async () => {
    const { post, engine } = await startServer();
    const { ServingError } = await import("../../../../src-ts/errors.js");
    engine.refusal = new ServingError("the prompt has 5,000 tokens; the context holds 4,096", {
      code: "context_length_exceeded",
      status: 400,
      param: "input",
    });
    for (const [path, body, param] of [
      ["/v1/chat/completions", { messages }, "messages"],
      ["/v1/completions", { prompt: "x" }, "prompt"],
      ["/v1/responses", { input: "x" }, "input"],
    ] as const) {
      const answer = await post(path, body);
      expect(answer.status).toBe(400);
      const { error } = ErrorResponse.parse(await answer.json());
      expect(error).toMatchObject({ code: "context_length_exceeded", param });
      expect(error.message).toContain("4,096");
    }
    engine.refusal = new ServingError("full", { code: "queue_full", status: 429, retryAfterS: 9 });
    const full = await post("/v1/chat/completions", { messages, stream: true });
    expect(full.status).toBe(429);
    expect(full.headers.get("retry-after")).toBe("9");
    expect(ErrorResponse.parse(await full.json()).error.type).toBe("rate_limit_error");
  });

  it("of one choice takes the others along", async () => {
    const { post, engine } = await startServer();
    const { ServingError } = await import("../../../../src-ts/errors.js");
    engine.script = (run) => {
      hold(run);
      engine.refusal = new ServingError("full", { code: "queue_full", status: 429 });
    };
    const answer = await post("/v1/chat/completions", { messages, n: 3 });
    expect(answer.status).toBe(429);
    expect(engine.runs.map(({ log }) => log.ending?.kind)).toEqual(["cancelled"]);
  });

  it("that nobody foresaw are a 500 that tells nothing, and are logged", async () => {
    const { post, engine, logs } = await startServer();
    engine.script = () => {
      throw new TypeError("secret detail");
    };
    const answer = await post("/v1/chat/completions", { messages });
    expect(answer.status).toBe(500);
    const { error } = ErrorResponse.parse(await answer.json());
    expect(error).toMatchObject({ type: "server_error", code: "internal_error" });
    expect(error.message).not.toContain("secret");
    expect(logs.some((line) => line.includes("request failed"))).toBe(true);
  });
});

describe("Idempotency-Key", () => {
  const headers = { "idempotency-key": "once" };

  it("attaches the same body to the same response, streamed or not", async () => {
    const { post, engine } = await startServer();
    engine.script = hold;
    const first = post("/v1/chat/completions", { messages, temperature: 0 }, { headers });
    await eventually(() => engine.runs.length === 1);
    // Other order, other transport: still the same body.
    const second = post(
      "/v1/chat/completions",
      { temperature: 0, messages, stream: true },
      { headers },
    );
    await eventually(() => engine.runs[0]!.log.readers === 2);
    engine.runs[0]!.emit("same");
    engine.runs[0]!.end({ kind: "stop" });
    const { id } = ChatCompletion.parse(await (await first).json());
    const { chunks } = await chunksOf(await second);
    expect(chunks[0]!.id).toBe(id);
    expect(engine.submissions).toHaveLength(1);
  });

  it("is a conflict with another body", async () => {
    const { post, engine } = await startServer();
    engine.script = hold;
    const first = post("/v1/chat/completions", { messages }, { headers });
    await eventually(() => engine.runs.length === 1);
    for (const [path, body] of [
      ["/v1/chat/completions", { messages, temperature: 0 }],
      ["/v1/chat/completions", { messages: [{ role: "user", content: "other" }] }],
    ] as const) {
      const answer = await post(path, body, { headers });
      expect(answer.status).toBe(409);
      expect(answer.headers.get("x-should-retry")).toBe("false");
      expect(ErrorResponse.parse(await answer.json()).error.type).toBe("conflict_error");
    }
    engine.runs[0]!.end({ kind: "stop" });
    expect((await first).status).toBe(200);
  });

  it("is for one key alone", async () => {
    const { post, engine } = await startServer({ apiKeys: ["a", "b"] });
    engine.script = say(["x"]);
    for (const key of ["a", "b"])
      await post(
        "/v1/responses",
        { input: key },
        { headers: { ...headers, authorization: `Bearer ${key}` } },
      );
    expect(engine.submissions).toHaveLength(2);
  });
});
