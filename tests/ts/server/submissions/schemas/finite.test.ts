import { expect, it } from "vitest";
import {
  hasFiniteAnswer,
  isCircular,
} from "../../../../../src-ts/server/submissions/schemas/finite.js";

const ref = (name: string) => ({ $ref: `#/$defs/${name}` });
const object = (properties: Record<string, unknown>, ...required: string[]) => ({
  type: "object",
  properties,
  required,
});

it.each([
  ["what requires itself", { ...ref("a"), $defs: { a: object({ a: ref("a") }, "a") } }, false],
  ["what may leave itself out", { ...ref("a"), $defs: { a: object({ a: ref("a") }) } }, true],
  [
    "a list of itself, which may be empty",
    { ...ref("a"), $defs: { a: { type: "array", items: ref("a") } } },
    true,
  ],
  [
    "a list of itself, which may not",
    { ...ref("a"), $defs: { a: { type: "array", items: ref("a"), minItems: 1 } } },
    false,
  ],
  [
    "a way out",
    { ...ref("a"), $defs: { a: { anyOf: [object({ a: ref("a") }, "a"), { type: "null" }] } } },
    true,
  ],
  [
    "two that require each other",
    { ...ref("a"), $defs: { a: object({ b: ref("b") }, "b"), b: object({ a: ref("a") }, "a") } },
    false,
  ],
  [
    "one part that never ends",
    { allOf: [{}, ref("a")], $defs: { a: object({ a: ref("a") }, "a") } },
    false,
  ],
  [
    "another type",
    {
      type: ["object", "null"],
      properties: { a: ref("a") },
      required: ["a"],
      $defs: { a: object({ a: ref("a") }, "a") },
    },
    true,
  ],
  ["no references", { type: "string" }, true],
])("%s", (_what, schema, ends) => {
  expect(hasFiniteAnswer(schema)).toBe(ends);
});

it("a circle without anything between is found", () => {
  expect(isCircular({ ...ref("a"), $defs: { a: ref("b"), b: { anyOf: [{}, ref("a")] } } })).toBe(
    true,
  );
  expect(isCircular({ ...ref("a"), $defs: { a: { allOf: [ref("a")] } } })).toBe(true);
  expect(isCircular({ ...ref("a"), $defs: { a: object({ a: ref("a") }) } })).toBe(false);
  expect(isCircular({ anyOf: [ref("a"), ref("a")], $defs: { a: {} } })).toBe(false);
});
