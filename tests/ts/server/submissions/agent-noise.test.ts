import { expect, it } from "vitest";
import { isBilling, isTokenCounter } from "../../../../src-ts/server/submissions/agent-noise.js";

it.each([
  ["x-anthropic-billing-header: cc_version=2.1.37.0d9; cc_entrypoint=cli; cch=fa690;", true],
  ["x-anthropic-billing-header: a\nYou are an agent.", true],
  ["You are an agent.", false],
  [" x-anthropic-billing-header: a", false],
])("%j is a billing header: %s", (text, expected) => {
  expect(isBilling(text)).toBe(expected);
});

it.each([
  ["<total_tokens>181234 tokens left</total_tokens>", true],
  ["\n<total_tokens>181,234 tokens left</total_tokens>\n", true],
  ["Token usage: 18766/200000; 181234 remaining", true],
  ["<system-reminder>\nToken usage: 18766/200000; 181234 remaining\n</system-reminder>", true],
  ["<total_tokens> tokens left</total_tokens>", false],
  ["<total_tokens>1 tokens left</total_tokens> and more", false],
  [`<total_tokens>${"1".repeat(300)} tokens left</total_tokens>`, false],
  ["", false],
])("%j is a counter: %s", (text, expected) => {
  expect(isTokenCounter(text)).toBe(expected);
});
