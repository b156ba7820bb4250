import { describe, expect, it } from "vitest";
import { AnthropicBody, AnthropicCountBody } from "../../../../src-ts/protocol/anthropic.js";
import {
  anthropicCount,
  anthropicSubmission,
} from "../../../../src-ts/server/submissions/anthropic.js";
import { caller } from "./caller.js";

const messages = [{ role: "user", content: "Hi" }];
const submission = (fields: object, who = {}) =>
  anthropicSubmission(AnthropicBody.parse({ messages, max_tokens: 9, ...fields }), {
    ...caller,
    ...who,
  });

it("is one response, which nobody keeps", () => {
  expect(submission({ model: "m" })).toMatchObject({
    model: "m",
    maxTokens: 9,
    store: false,
    abandonment: { kind: "cancel" },
    owner: "key:1",
    idPrefix: "msg",
  });
});

it("leaves out what the body leaves out: the engine has the defaults", () => {
  const { sampling, model } = submission({});
  expect(Object.entries(sampling!).filter(([, value]) => value !== undefined)).toEqual([]);
  expect(model).toBeUndefined();
});

it("draws as it is told, in Anthropic's words and in those of others", () => {
  const fields = { temperature: 0.5, top_p: 0.9, top_k: 5, seed: 3, min_p: 0.1 };
  expect(submission({ ...fields, stop_sequences: ["\n\nHuman:", "END"] }).sampling).toMatchObject({
    temperature: 0.5,
    topP: 0.9,
    topK: 5,
    seed: 3,
    minP: 0.1,
    stop: ["\n\nHuman:", "END"],
  });
});

describe("thinking", () => {
  const reasoningOf = (fields: object) => {
    const { input } = submission(fields);
    return input.kind === "chat" ? input.reasoning : undefined;
  };

  it.each([
    [{}, { enabled: false }],
    [{ thinking: null }, { enabled: false }],
    [{ thinking: { type: "disabled" } }, { enabled: false }],
    [{ thinking: { type: "enabled", budget_tokens: 1024 } }, { enabled: true, maxTokens: 1024 }],
    [{ thinking: { type: "adaptive" } }, undefined],
    [{ chat_template_kwargs: { enable_thinking: true } }, { enabled: true }],
    [
      {
        thinking: { type: "enabled", budget_tokens: 5 },
        chat_template_kwargs: { enable_thinking: false },
      },
      { enabled: false, maxTokens: 5 },
    ],
  ])("of %j is %j", (fields, reasoning) => {
    expect(reasoningOf(fields)).toEqual(reasoning);
  });
});

it("of one key and another body is another", () => {
  const fingerprint = (fields: object) =>
    submission(fields, { idempotencyKey: "k" }).idempotency?.fingerprint;
  expect(fingerprint({ stream: true })).toBe(fingerprint({}));
  expect(fingerprint({ temperature: 0 })).not.toBe(fingerprint({}));
  expect(submission({}).idempotency).toBeUndefined();
});

it("can't go on with an answer that somebody else has begun", () => {
  const begun = [...messages, { role: "assistant", content: "{" }];
  expect(() => submission({ messages: begun })).toThrow(
    expect.objectContaining({ status: 400, param: "messages" }),
  );
});

it("counts the prompt that it would be", () => {
  const fields = {
    messages,
    system: "Be brief.",
    tools: [{ name: "look", input_schema: { type: "object" } }],
    thinking: { type: "enabled", budget_tokens: 1024 },
  };
  const count = anthropicCount(AnthropicCountBody.parse(fields), caller);
  expect(count.input).toEqual(submission(fields).input);
});
