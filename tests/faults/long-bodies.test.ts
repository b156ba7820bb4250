/** Bodies of the longest kind against real workers: served or refused by name, never at a worker's cost. */
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { limits } from "../../src-ts/protocol/index.js";
import { createServer } from "../../src-ts/server/index.js";
import { answerOf, FaultBench } from "./support/faults.js";

vi.setConfig({ testTimeout: 120_000 });

async function setup(engine: object = {}) {
  const bench = await new FaultBench({ engine }).start();
  const server = createServer({ engine: bench.engine, config: { port: 0 } });
  onTestFinished(async () => {
    await server.close();
    await bench[Symbol.asyncDispose]();
  });
  const { url } = await server.listen();
  const post = async (path: string, body: object) => {
    const answer = await fetch(`${url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    // biome-ignore lint/suspicious/noExplicitAny: a test looks into answers of all kinds
    return { status: answer.status, body: (await answer.json()) as any };
  };
  return { bench, post };
}

const long = "語".repeat((limits.bodyBytesMax - 1000) / 3);
const ids = Array.from({ length: limits.jsonValuesMax - 1000 }, () => 5);
const messages = (content: string) =>
  Array.from({ length: limits.messagesMax }, () => ({ role: "user", content }));

describe("a body of the longest kind", () => {
  it("is refused for its tokens, by the field of its API, and no stream beside it notices", async () => {
    const { bench, post } = await setup({ fakeTokensPerSecond: 100, contextMax: 100_000 });
    const { pid } = bench.engine.workers()[0]!;
    const beside = { input: { kind: "text", text: "tea" }, maxTokens: 300 } as const;
    const expected = await answerOf(await bench.engine.submit(beside));
    const running = bench.engine.submit(beside).then(answerOf);
    for (const [path, body, param] of [
      ["/v1/responses", { input: long }, "input"],
      ["/v1/responses", { input: messages("a".repeat(1900)), instructions: "x" }, "input"],
      ["/v1/chat/completions", { messages: [{ role: "user", content: long }] }, "messages"],
      ["/v1/completions", { prompt: long }, "prompt"],
      ["/v1/completions", { prompt: ids }, "prompt"],
    ] as const) {
      const { status, body: answer } = await post(path, body);
      expect(status).toBe(400);
      expect(answer.error).toMatchObject({ code: "context_length_exceeded", param });
    }
    expect(await running).toEqual(expected);
    expect(bench.engine.workers()[0]).toMatchObject({ pid, restarts: 0 });
    expect(bench.lost).toEqual([]);
  });

  it("is served where the model can", async () => {
    const contextMax = 4_000_000;
    const { bench, post } = await setup({ contextMax, memoryBudgetBytes: 2 ** 50 });
    for (const [path, body] of [
      ["/v1/chat/completions", { messages: messages("abc"), max_tokens: 2 }],
      ["/v1/completions", { prompt: ids, max_tokens: 2 }],
      ["/v1/responses", { input: "abc ".repeat(500_000), max_output_tokens: 2, n: 1 }],
    ] as const) {
      const { status, body: answer } = await post(path, body);
      expect([status, answer.error]).toEqual([200, path.includes("responses") ? null : undefined]);
    }
    expect(bench.lost).toEqual([]);
  });
});

describe("arguments of the template", () => {
  it("change what the model reads, the same in both APIs", async () => {
    const { post } = await setup();
    const chat = async (fields: object) => {
      const body = { messages: [{ role: "user", content: "x" }], max_tokens: 20, ...fields };
      return (await post("/v1/chat/completions", body)).body.choices[0].message.content;
    };
    const response = async (fields: object) => {
      const body = { input: "x", max_output_tokens: 20, ...fields };
      return (await post("/v1/responses", body)).body.output[0].content[0].text;
    };
    const off = { chat_template_kwargs: { enable_thinking: false } };
    const on = { chat_template_kwargs: { enable_thinking: true } };
    const plain = await chat({});
    expect(await chat({ chat_template_kwargs: {} })).toBe(plain);
    expect(new Set([plain, await chat(off), await chat(on)]).size).toBe(3);
    for (const fields of [{}, off, on]) expect(await response(fields)).toBe(await chat(fields));
  });
});
