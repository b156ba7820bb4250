/** Budgets of reasoning, forced tokens and stop strings, as each API has them. */
import { describe, expect, it } from "vitest";
import { AnthropicMessage } from "../../../src-ts/protocol/anthropic.js";
import { ChatChunk, ChatCompletion } from "../../../src-ts/protocol/chat.js";
import { Completion } from "../../../src-ts/protocol/completions.js";
import { ResponseObject } from "../../../src-ts/protocol/responses.js";
import type { Script } from "../support/scripted-engine.js";
import { parseSse, startServer } from "../support/test-server.js";

const messages = [{ role: "user", content: "Hi" }];
const ignored = (answer: globalThis.Response) => answer.headers.get("x-mlx-serving-ignored");

const thinks: Script = (run) => {
  run.start();
  setImmediate(() => {
    run.speak(["reasoning", "Hm"]);
    run.speak(["reasoning", "."], ["forced", ""]);
    run.emit("So.");
    run.end({ kind: "stop", sequence: "END" });
  });
};

describe("a budget", () => {
  it.each([
    ["/v1/chat/completions", { messages, reasoning: { max_tokens: 0 } }, 0, "reasoning.max_tokens"],
    ["/v1/chat/completions", { messages, thinking_token_budget: 7 }, 7, "thinking_token_budget"],
    ["/v1/responses", { input: "Hi", reasoning: { max_tokens: 1 } }, 1, "reasoning.max_tokens"],
    ["/v1/responses", { input: "Hi", thinking_token_budget: 9 }, 9, "thinking_token_budget"],
    [
      "/v1/messages",
      { max_tokens: 5, messages, thinking: { type: "enabled", budget_tokens: 1024 } },
      1024,
      "thinking.budget_tokens",
    ],
  ])("of %s %j reaches the model, or is named", async (path, body, maxTokens, field) => {
    for (const stream of [false, true]) {
      const { post, engine } = await startServer();
      const followed = await post(path, { ...body, stream });
      expect(ignored(followed)).toBeNull();
      await followed.text();
      expect(engine.submissions[0]!.input).toMatchObject({ reasoning: { maxTokens } });
      engine.unbounded = true;
      const unbounded = await post(path, { ...body, stream });
      expect([unbounded.status, ignored(unbounded)]).toEqual([200, field]);
      await unbounded.text();
      const both = await post(path, { ...body, stream, foo: 1 });
      expect(ignored(both)).toBe(`foo, ${field}`);
      await both.text();
    }
  });

  it.each([
    ["/v1/chat/completions", { messages, thinking_token_budget: -1 }, "thinking_token_budget"],
    ["/v1/chat/completions", { messages, reasoning: { max_tokens: 1.5 } }, "reasoning.max_tokens"],
    ["/v1/responses", { input: "Hi", thinking_token_budget: "many" }, "thinking_token_budget"],
    [
      "/v1/responses",
      { input: "Hi", reasoning: { max_tokens: 3 }, thinking_token_budget: 4 },
      "reasoning.max_tokens",
    ],
  ])("of %s %j is wrong", async (path, body, param) => {
    const { post } = await startServer();
    const answer = await post(path, body);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: { param } });
  });
});

describe("forced tokens and the stop string", () => {
  const details = { reasoning_tokens: 1, forced_tokens: 1 };

  it("stand in a chat, whole and streamed", async () => {
    const { post, engine } = await startServer();
    engine.script = thinks;
    const whole = ChatCompletion.parse(
      await (await post("/v1/chat/completions", { messages })).json(),
    );
    expect(whole.choices[0]).toMatchObject({ finish_reason: "stop", stop_reason: "END" });
    expect(whole.usage.completion_tokens_details).toEqual(details);
    const options = { stream: true, stream_options: { include_usage: true } };
    const text = await (await post("/v1/chat/completions", { messages, ...options })).text();
    const chunks = parseSse(text)
      .events.filter(({ data }) => data !== "[DONE]")
      .map(({ data }) => ChatChunk.parse(JSON.parse(data)));
    const stops = chunks.map(({ choices }) => choices[0]?.stop_reason);
    expect(stops.filter((stop) => stop !== undefined)).toEqual(["END"]);
    expect(chunks.at(-2)?.choices[0]).toMatchObject({ finish_reason: "stop", stop_reason: "END" });
    expect(chunks.at(-1)?.usage?.completion_tokens_details).toEqual(details);
  });

  it("stand in a completion", async () => {
    const { post, engine } = await startServer();
    engine.script = thinks;
    const answer = await post("/v1/completions", { prompt: "Hi" });
    expect(Completion.parse(await answer.json()).choices[0]).toMatchObject({ stop_reason: "END" });
    const streamed = await (await post("/v1/completions", { prompt: "Hi", stream: true })).text();
    expect(streamed).toContain('"finish_reason":"stop","stop_reason":"END"');
  });

  it("stand in a response, which has no place for a stop string", async () => {
    const { post, engine } = await startServer();
    engine.script = thinks;
    const answer = ResponseObject.parse(
      await (await post("/v1/responses", { input: "Hi" })).json(),
    );
    expect(answer.status).toBe("completed");
    expect(answer.usage?.output_tokens_details).toEqual(details);
  });

  it("stand in a message, which has no place for forced tokens", async () => {
    const { post, engine } = await startServer();
    engine.script = thinks;
    const answer = await post("/v1/messages", { max_tokens: 5, messages });
    expect(AnthropicMessage.parse(await answer.json())).toMatchObject({
      stop_reason: "stop_sequence",
      stop_sequence: "END",
      usage: { output_tokens: 3 },
    });
  });

  it("are said of nothing else", async () => {
    const { post } = await startServer();
    const answer = await (await post("/v1/chat/completions", { messages })).text();
    expect(answer).not.toContain("stop_reason");
    expect(answer).not.toContain("forced_tokens");
  });
});
