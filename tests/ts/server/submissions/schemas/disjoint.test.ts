import { describe, expect, it } from "vitest";
import { areDisjoint } from "../../../../../src-ts/server/submissions/schemas/disjoint.js";

const definitions: Record<string, unknown> = {
  cat: { type: "object", properties: { kind: { const: "cat" } }, required: ["kind"] },
  dog: { type: "object", properties: { kind: { enum: ["dog", "wolf"] } }, required: ["kind"] },
  loop: { $ref: "loop" },
};
const resolve = (name: unknown) => definitions[String(name)];
const apart = (a: unknown, b: unknown) => [areDisjoint(a, b, resolve), areDisjoint(b, a, resolve)];
const tagged = (value: string, ...others: string[]) => ({
  type: "object",
  properties: { t: { const: value } },
  required: ["t", ...others],
});

describe("schemas that can't both be true of one value", () => {
  it.each([
    [{ type: "string" }, { type: "integer" }],
    [{ type: ["string", "null"] }, { type: "object" }],
    [{ const: 1 }, { const: 2 }],
    [{ enum: ["a", "b"] }, { enum: ["c"] }],
    [{ const: { a: 1, b: 2 } }, { const: { a: 1, b: 3 } }],
    [
      { type: "integer", maximum: 3 },
      { type: "integer", minimum: 4 },
    ],
    [
      { type: "number", exclusiveMaximum: 3 },
      { type: "number", minimum: 3 },
    ],
    [tagged("a"), tagged("b")],
    // Required by one: whoever has it would have it with both values.
    [tagged("a"), { type: "object", properties: { t: { const: "b" } } }],
    [{ $ref: "cat" }, { $ref: "dog" }],
    [{ allOf: [{ $ref: "cat" }] }, { anyOf: [{ $ref: "dog" }, { type: "null" }] }],
    [
      { type: "object", required: ["a"] },
      { type: "object", properties: { b: {} }, additionalProperties: false },
    ],
    [false, {}],
  ])("%j and %j", (a, b) => {
    expect(apart(a, b)).toEqual([true, true]);
  });
});

describe("schemas that can, or of which it can't be told", () => {
  it.each([
    [{ type: "integer" }, { type: "number" }],
    [
      { type: "string", maxLength: 3 },
      { type: "string", minLength: 4 },
    ],
    [{ enum: [1, 2] }, { enum: [2, 3] }],
    [{ const: { a: 1, b: 2 } }, { const: { b: 2, a: 1 } }],
    [{ maximum: 3 }, { minimum: 4 }],
    [
      { type: "number", maximum: 3 },
      { type: "number", minimum: 3 },
    ],
    [{ properties: { t: { const: "a" } } }, { properties: { t: { const: "b" } } }],
    [
      { type: "object", required: ["a"] },
      { type: "object", required: ["b"] },
    ],
    [{ $ref: "loop" }, { $ref: "loop" }],
    [{}, {}],
    [true, { type: "string" }],
  ])("%j and %j", (a, b) => {
    expect(apart(a, b)).toEqual([false, false]);
  });
});
