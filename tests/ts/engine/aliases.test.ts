/** Further names of models. */
import { describe, expect, it } from "vitest";
import { aliasesOf, modelNamed } from "../../../src-ts/engine/aliases.js";

const ids = ["small", "large"];

describe("a name", () => {
  const aliases = { "gpt-5": "large", small: "large", "*": "small" };

  it.each([
    ["large", "large"],
    ["gpt-5", "large"],
    ["claude", "small"],
    // An id is never somebody else's name.
    ["small", "small"],
    ["constructor", "small"],
    ["*", "small"],
  ])("%s stands for %s", (name, id) => {
    expect(modelNamed(name, ids, aliases)).toBe(id);
  });

  it.each(["claude", "__proto__", "toString"])(
    "%s stands for none without an alias for all",
    (name) => {
      expect(modelNamed(name, ids, { "gpt-5": "large" })).toBe(name);
    },
  );
});

it("a model has the aliases that can be told", () => {
  const aliases = { a: "small", b: "large", "*": "small" };
  expect(aliasesOf("small", aliases)).toEqual(["a"]);
  expect(aliasesOf("large", aliases)).toEqual(["b"]);
});
