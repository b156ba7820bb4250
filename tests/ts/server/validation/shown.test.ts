import { expect, it } from "vitest";
import { ignoredKeyCharsMax } from "../../../../src-ts/protocol/limits.js";
import { shown, shownInList } from "../../../../src-ts/server/validation/shown.js";

it.each([
  ["temperature", "temperature"],
  ["a b\"c'", "a b\"c'"],
  ["a\nb\0c", "a?b?c"],
  ["naïve", "na?ve"],
  ["", ""],
])("%j is shown as %j", (name, text) => {
  expect(shown(name)).toBe(text);
});

it("is cut", () => {
  expect(shown("x".repeat(10_000))).toHaveLength(ignoredKeyCharsMax);
});

it.each([
  ["reasoning_effort", "reasoning_effort"],
  ["mlx_serving:x-y$", "mlx_serving:x-y$"],
  ["a, b.c[0]", "a??b?c?0?"],
  ["...", "???"],
  ["", "?"],
])("in a list %j is shown as %j", (name, text) => {
  expect(shownInList(name)).toBe(text);
});
