import { expect, it } from "vitest";
import { reasoningOf } from "../../../../src-ts/server/submissions/reasoning.js";

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
