import { describe, expect, it } from "vitest";
import { loosened } from "../../../../../src-ts/server/submissions/schemas/loosened.js";

const of = (schema: unknown, max = 8) => {
  const { text, dropped } = loosened(schema, ["f", 0], max);
  return [JSON.parse(text), dropped.map((path) => path.join("."))];
};
const within = (a: unknown) => ({ type: "object", properties: { a, b: { type: "boolean" } } });

describe("what can't be enforced is left out, and the rest is kept", () => {
  it.each([
    [{ type: "string", minLength: 2, not: {} }, { type: "string", minLength: 2 }, "not"],
    [{ type: "string", format: "phone" }, { type: "string" }, "format"],
    [{ type: "string", pattern: "(?=a)" }, { type: "string" }, "pattern"],
    [
      { type: "array", uniqueItems: true, maxItems: 3 },
      { type: "array", maxItems: 3 },
      "uniqueItems",
    ],
    [{ $ref: "http://x/y", type: "string" }, { type: "string" }, "$ref"],
    [{ enum: ["a", "\u0001"] }, { enum: ["a"] }, "enum.1"],
    [{ enum: ["a", { b: ["\u0001"] }] }, { enum: ["a"] }, "enum.1"],
    [{ const: { b: "\u0001" } }, {}, "const"],
    [
      { oneOf: [{ type: "string" }, { type: "string", minLength: 1 }] },
      { anyOf: [{ type: "string" }, { type: "string", minLength: 1 }] },
      "oneOf",
    ],
  ])("%j", (schema, rest, place) => {
    expect(of(schema)).toEqual([rest, [`f.0.${place}`]]);
    expect(of(within(schema))).toEqual([within(rest), [`f.0.properties.a.${place}`]]);
  });

  it("at several places, and in definitions", () => {
    const schema = {
      type: "object",
      properties: { not: { $ref: "#/$defs/x" }, b: { type: "string", if: {}, format: "phone" } },
      $defs: { x: { type: "integer", not: { const: 3 } } },
    };
    const [rest, dropped] = of(schema);
    expect(dropped).toEqual(["f.0.properties.b.if", "f.0.properties.b.format", "f.0.$defs.x.not"]);
    expect(rest.properties.b).toEqual({ type: "string" });
    expect(JSON.stringify(rest)).not.toContain("const");
  });
});

it("nothing is left out of a schema that can be kept to", () => {
  expect(of(within({ type: "string" }))).toEqual([within({ type: "string" }), []]);
});

it("there is an end to it", () => {
  expect(() => of(within({ not: {}, if: {} }), 1)).toThrow(
    "f[0].properties.a.if can't be enforced",
  );
});

it("what is no schema, or can't be meant, is refused all the same", () => {
  for (const schema of [{ type: "text" }, { type: "string", minLength: 3, maxLength: 2 }, []])
    expect(() => of(schema)).toThrow(
      expect.objectContaining({ status: 400, code: "invalid_value" }),
    );
});
