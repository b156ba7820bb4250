import { describe, expect, it } from "vitest";
import { translated } from "../../../../../src-ts/server/submissions/schemas/patterns.js";

describe("a pattern of ECMAScript in Rust's words", () => {
  it.each([
    ["^[a-z]+$", "^[a-z]+$"],
    ["^\\d{3}$", "^[0-9]{3}$"],
    ["[\\w.-]", "[0-9A-Za-z_\\u{2e}\\u{2d}]"],
    ["\\D|\\W", "[[^0-9]]|[[^0-9A-Za-z_]]"],
    ["a.b", "a[^\\n\\r\\u{2028}\\u{2029}]b"],
    ["(?<year>\\d+?)-(x)", "(?:[0-9]+)\\u{2d}(?:x)"],
    ["(?:a|b)*?", "(?:a|b)*"],
    ["[[a]&&", "[\\u{5b}a]\\u{26}\\u{26}"],
    ["[a&&b]", "[a\\u{26}\\u{26}b]"],
    ["\\u00e9\\x41\\u{1F600}\\uD83D\\uDE00", "\\u{e9}A\\u{1f600}\\u{1f600}"],
    ["[^]", "(?s:.)"],
    ["\\/\\.", "\\u{2f}\\u{2e}"],
    ["[\\x00-\\x1f]", "[\\u{8}\\u{9}\\u{a}\\u{c}\\u{d}]"],
    ["[\\x00-a]", "[\\u{0}-a]"],
    ["[^\\x00]", "[^\\u{0}]"],
    ["\\p{L}[\\p{Lu}\\d]", "[\\p{L}][\\p{Lu}0-9]"],
  ])("%s", (pattern, expected) => {
    expect(translated(pattern)).toBe(expected);
  });

  it("has ECMAScript's white space", () => {
    const expression = translated("^\\s$");
    expect(expression).toContain("\\u{FEFF}");
    expect(expression).not.toContain("85");
  });
});

describe("what no grammar can do is said", () => {
  it.each([
    ["(?=a)b", "ahead or behind"],
    ["(?!a)b", "ahead or behind"],
    ["a(?<=a)b", "ahead or behind"],
    ["a(?<!b)", "ahead or behind"],
    ["\\bfoo", "border of a word"],
    ["a\\B", "border of a word"],
    ["(a)\\1", "refers back"],
    ["(?<n>a)\\k<n>", "refers back"],
    ["a{2", "no regular expression"],
    ["(", "no regular expression"],
    ["\\-", "no regular expression"],
    ["a\\x01b", "control characters"],
    ["\\v", "control characters"],
    ["\\0", "control characters"],
    ["[\\x00-\\x07]", "nothing that can be written"],
    ["[]", "nothing that can be written"],
    ["\\ud800", "half a character"],
  ])("%s", (pattern, why) => {
    expect(() => translated(pattern)).toThrow(why);
  });
});
