import { describe, expect, it } from "vitest";
import {
  reasoningBudgetFields,
  reasoningBudgetOf,
  reasoningOf,
} from "../../../../src-ts/server/submissions/reasoning.js";

const handed = (enable_thinking: unknown) => ({ chat_template_kwargs: { enable_thinking } });

it.each([
  [undefined, {}, undefined, undefined],
  [null, { chat_template_kwargs: null }, null, undefined],
  ["none", {}, undefined, { enabled: false }],
  [undefined, handed(true), undefined, { enabled: true }],
  [undefined, handed("yes"), undefined, undefined],
  ["none", handed(true), undefined, { enabled: true }],
  [undefined, {}, 7, { maxTokens: 7 }],
  ["none", handed(false), 7, { enabled: false, maxTokens: 7 }],
] as const)("effort %s, %j, at most %s tokens: %j", (effort, body, maxTokens, expected) => {
  expect(reasoningOf(effort, body, maxTokens)).toEqual(expected);
});

describe("a budget", () => {
  it.each([
    [{}, undefined, []],
    [{ reasoning: null, thinking_token_budget: null, thinking: null }, undefined, []],
    [{ reasoning: {} }, undefined, []],
    [{ thinking: { type: "disabled" } }, undefined, []],
    [{ reasoning: { max_tokens: 0 } }, 0, ["reasoning.max_tokens"]],
    [{ thinking_token_budget: 1 }, 1, ["thinking_token_budget"]],
    [{ thinking: { type: "enabled", budget_tokens: 9 } }, 9, ["thinking.budget_tokens"]],
    [
      { reasoning: { max_tokens: 4 }, thinking_token_budget: 4 },
      4,
      ["reasoning.max_tokens", "thinking_token_budget"],
    ],
  ])("of %j is %s", (body, budget, fields) => {
    expect(reasoningBudgetOf(body)).toBe(budget);
    expect(reasoningBudgetFields(body)).toEqual(fields);
  });

  it("has one value", () => {
    const body = { reasoning: { max_tokens: 4 }, thinking_token_budget: 0 };
    expect(() => reasoningBudgetOf(body)).toThrow(
      "reasoning.max_tokens and thinking_token_budget differ; send one of them.",
    );
  });
});
