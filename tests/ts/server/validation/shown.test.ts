import { expect, it } from "vitest";
import { ignoredKeyCharsMax } from "../../../../src-ts/protocol/limits.js";
import { shown } from "../../../../src-ts/server/validation/shown.js";

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
