import { describe, expect, it } from "vitest";
import { isServingError } from "../../../../../src-ts/errors.js";
import * as limits from "../../../../../src-ts/protocol/limits.js";
import { enforceable } from "../../../../../src-ts/server/submissions/schemas/index.js";

const made = (schema: unknown): unknown => JSON.parse(enforceable(schema, ["f", "schema"]));

function refusal(schema: unknown): { param: string | null; code: string; message: string } {
  try {
    enforceable(schema, ["f", "schema"]);
  } catch (error) {
    if (isServingError(error)) return error;
    throw error;
  }
  throw new Error("it was taken");
}

const text = { type: "string" };
const count = { type: "integer" };

describe("what a worker gets", () => {
  it("has properties in the schema's order, and what they must be", () => {
    const schema = {
      properties: { b: text, a: { type: ["string", "null"] } },
      type: "object",
      required: ["a", "a"],
      additionalProperties: false,
      title: "T",
      "x-guidance": { lenient: true },
    };
    expect(enforceable(schema, [])).toBe(
      '{"type":"object","properties":{"b":{"type":"string"},"a":{"type":["string","null"]}},"additionalProperties":false,"required":["a"]}',
    );
  });

  it("has definitions by names of its own, each once", () => {
    const node = {
      type: "object",
      properties: { next: { $ref: "#/definitions/a~1b%20c" }, root: { $ref: "#" } },
    };
    expect(made({ $ref: "#/definitions/a~1b%20c", definitions: { "a/b c": node } })).toEqual({
      $ref: "#/$defs/d0",
      $defs: {
        d0: {
          type: "object",
          properties: { next: { $ref: "#/$defs/d0" }, root: { $ref: "#/$defs/d1" } },
        },
        d1: { $ref: "#/$defs/d0" },
      },
    });
    expect(made({ $ref: "#x", $defs: { y: { $anchor: "x", type: "null" } } })).toMatchObject({
      $defs: { d0: { type: "null" } },
    });
    expect(
      made({ $id: "https://e.org/s", $ref: "https://e.org/s#/$defs/y", $defs: { y: true } }),
    ).toMatchObject({ $defs: { d0: true } });
  });

  it("has oneOf as alternatives where they are told apart", () => {
    expect(made({ oneOf: [text, count] })).toHaveProperty("anyOf");
    expect(made({ anyOf: [text, count], oneOf: [text, { type: "null" }] })).toMatchObject({
      allOf: [{ anyOf: [text, { type: "null" }] }],
    });
  });

  it("keeps formats by what is written in them", () => {
    expect(made({ type: "string", format: "date", pattern: "^2" })).toMatchObject({
      pattern: "^2",
      allOf: [{ pattern: expect.stringContaining("-02-29") }],
    });
    expect(made({ type: "string", format: "date" })).not.toHaveProperty("format");
  });

  it("has the first elements of older drafts where 2020-12 has them", () => {
    expect(made({ type: "array", items: [text], additionalItems: false })).toEqual({
      type: "array",
      prefixItems: [text],
      items: false,
    });
  });

  it("leaves out what asks for nothing", () => {
    expect(
      made({
        type: "object",
        minProperties: 0,
        unevaluatedProperties: true,
        nullable: true,
      }),
    ).toEqual({ type: "object" });
    expect(made({ type: "array", uniqueItems: false, maxItems: 2 ** 40 })).toEqual({
      type: "array",
    });
    for (const propertyNames of [true, {}, { type: "string" }])
      expect(made({ type: "object", propertyNames })).toEqual({ type: "object" });
    expect(made({})).toEqual({});
  });
});

const open = { type: "object", properties: { a: count, b: count } };

describe("what is refused, and where", () => {
  it.each([
    [{ not: {} }, "not"],
    [{ properties: { a: { items: { if: {} } } } }, "properties.a.items.if"],
    [{ anyOf: [{}, { uniqueItems: true }] }, "anyOf[1].uniqueItems"],
    [{ prefixItems: [{ contains: {} }] }, "prefixItems[0].contains"],
    [{ items: [{}, { not: {} }] }, "items[1].not"],
    [{ dependentRequired: {} }, "dependentRequired"],
    [{ dependentSchemas: {} }, "dependentSchemas"],
    [{ unevaluatedProperties: false }, "unevaluatedProperties"],
    [{ unevaluatedItems: {} }, "unevaluatedItems"],
    [{ propertyNames: { maxLength: 3 } }, "propertyNames"],
    [{ propertyNames: { type: "string", pattern: "^a" } }, "propertyNames"],
    [{ propertyNames: { type: ["string"] } }, "propertyNames"],
    [{ propertyNames: { type: "integer" } }, "propertyNames"],
    [{ propertyNames: false }, "propertyNames"],
    [{ format: "phone" }, "format"],
    [{ pattern: "(?=a)" }, "pattern"],
    [{ patternProperties: { "a(?!b)": {} } }, "patternProperties.a(?!b)"],
    [{ $ref: "https://example.com/a" }, "$ref"],
    [{ $ref: "other.json#/a" }, "$ref"],
    [{ $dynamicRef: "#a" }, "$dynamicRef"],
    [{ $schema: "https://example.com/schema" }, "$schema"],
    [{ properties: { a: { $id: "https://e.org/b" } } }, "properties.a.$id"],
    [{ oneOf: [text, { maxLength: 3 }] }, "oneOf"],
    [{ $ref: "#/$defs/a", $defs: { a: { not: {} } } }, "$defs.a.not"],
    [{ const: 1e21 }, "const"],
    [{ const: { a: ["\u0001"] } }, "const.a[0]"],
    [{ enum: ["a", "b\u007f"] }, "enum[1]"],
    [{ ...open, minProperties: 1 }, "minProperties"],
    [{ ...open, maxProperties: 1 }, "maxProperties"],
    [{ type: "object", minProperties: 2 }, "minProperties"],
  ])("%j can't be enforced", (schema, path) => {
    expect(refusal(schema)).toMatchObject({
      code: "unsupported_parameter",
      param: `f.schema.${path}`,
    });
  });

  it.each([
    [{ type: "text" }, "type"],
    [{ type: [] }, "type"],
    [{ properties: [] }, "properties"],
    [{ properties: { a: 3 } }, "properties.a"],
    [{ items: "string" }, "items"],
    [{ anyOf: [] }, "anyOf"],
    [{ allOf: {} }, "allOf"],
    [{ enum: [] }, "enum"],
    [{ enum: "a" }, "enum"],
    [{ required: "a" }, "required"],
    [{ minLength: -1 }, "minLength"],
    [{ minLength: 3, maxLength: 2 }, "minLength"],
    [{ minItems: 3, maxItems: 2 }, "minItems"],
    [{ minItems: 1e9 }, "minItems"],
    [{ items: false, minItems: 1 }, "minItems"],
    [{ pattern: 3 }, "pattern"],
    [{ $ref: "#/$defs/a" }, "$ref"],
    [{ $ref: 3 }, "$ref"],
    [{ type: "object", required: ["a"], additionalProperties: false }, "required"],
    [{ type: "object", required: ["a"], properties: { a: false } }, "required"],
    [{ type: "object", required: ["a", "b"], maxProperties: 1 }, "maxProperties"],
  ])("%j can't be meant", (schema, path) => {
    expect(refusal(schema)).toMatchObject({ code: "invalid_value", param: `f.schema.${path}` });
  });

  it("what nobody could ever finish", () => {
    expect(refusal({ $ref: "#" }).message).toContain("circle");
    expect(
      refusal({ type: "object", properties: { a: { $ref: "#" } }, required: ["a"] }).message,
    ).toContain("ends");
    expect(refusal("text").message).toBe("f.schema must be an object.");
  });

  it("what is too much, with the limit", () => {
    let deep: object = text;
    for (let i = 0; i <= limits.schemaDepthMax; i++) deep = { items: deep };
    expect(refusal(deep).message).toContain(`deeper than ${limits.schemaDepthMax}`);
    const values = Array.from({ length: limits.schemaValuesMax + 1 }, (_, i) => i);
    expect(refusal({ enum: values }).message).toContain(`${limits.schemaValuesMax} values`);
    const many = Array.from({ length: limits.schemaPartsMax + 1 }, () => ({}));
    expect(refusal({ anyOf: many }).message).toContain(`${limits.schemaPartsMax} schemas`);
    expect(refusal({ pattern: "a".repeat(limits.patternCharsMax + 1) }).message).toContain(
      `${limits.patternCharsMax} characters`,
    );
    const long = Array.from({ length: 99 }, (_, i) => "x".repeat(6000) + i);
    expect(refusal({ enum: long }).message).toContain(`${limits.schemaCharsMax} characters`);
  });

  it("unused definitions are nobody's concern", () => {
    expect(made({ type: "null", $defs: { a: { not: {} } } })).toEqual({ type: "null" });
  });
});
