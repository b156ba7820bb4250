import { describe, expect, it } from "vitest";
import { z } from "zod";
import * as mini from "zod/mini";
import { jsonSchemaOf, type Schema } from "../../../src-ts/client/schemas.js";
import { enforceable } from "../../../src-ts/server/submissions/schemas/index.js";

const of = (schema: unknown) => jsonSchemaOf(schema as Schema, "The schema", "tools[0].parameters");

function refusal(schema: unknown): { code: string; param: string | null; message: string } {
  try {
    of(schema);
  } catch (error) {
    return error as never;
  }
  throw new Error("It was taken");
}

describe("a schema of Zod", () => {
  it("is the JSON schema of what a model has to write", () => {
    const schema = z.object({
      city: z.string().describe("Its name"),
      days: z.int().min(1).max(7).optional(),
      unit: z.enum(["c", "f"]).default("c"),
    });
    expect(of(schema)).toEqual({
      type: "object",
      properties: {
        city: { type: "string", description: "Its name" },
        days: { type: "integer", minimum: 1, maximum: 7 },
        unit: { type: "string", enum: ["c", "f"], default: "c" },
      },
      required: ["city"],
      additionalProperties: false,
    });
  });

  it("is that of its input where it transforms", () => {
    const schema = z.object({ n: z.string().transform(Number), d: z.iso.date().pipe(z.string()) });
    expect(of(schema)).toMatchObject({
      properties: { n: { type: "string" }, d: { type: "string", format: "date" } },
    });
  });

  it("closes objects that name what they have, and no others", () => {
    const inner = (schema: z.ZodType) =>
      (of(z.object({ inner: schema })) as { properties: { inner: object } }).properties.inner;
    expect(inner(z.object({}))).toHaveProperty("additionalProperties", false);
    expect(inner(z.strictObject({}))).toHaveProperty("additionalProperties", false);
    expect(inner(z.looseObject({}))).toHaveProperty("additionalProperties", {});
    expect(inner(z.object({}).catchall(z.number()))).toHaveProperty("additionalProperties", {
      type: "number",
    });
    expect(inner(z.record(z.string(), z.number()))).toMatchObject({
      additionalProperties: { type: "number" },
    });
    const both = inner(z.intersection(z.object({ a: z.string() }), z.object({ b: z.string() })));
    expect(JSON.stringify(both)).not.toContain("additionalProperties");
  });

  it("names the keys of records", () => {
    const value = { type: "number" };
    const inner = (schema: z.ZodType) => of(z.object({ inner: schema })).properties;
    const closed = { type: "object", additionalProperties: false };
    expect(inner(z.partialRecord(z.enum(["a", "b"]), z.number()))).toEqual({
      inner: { ...closed, properties: { a: value, b: value } },
    });
    expect(inner(z.record(z.enum(["a"]), z.number()))).toEqual({
      inner: { ...closed, properties: { a: value }, required: ["a"] },
    });
    expect(inner(z.record(z.string().regex(/^x-/), z.number()))).toEqual({
      inner: { ...closed, patternProperties: { "^x-": value } },
    });
  });

  it("may call itself", () => {
    const tree = z.object({
      name: z.string(),
      get children() {
        return z.array(tree);
      },
    });
    expect(JSON.stringify(of(tree))).toContain("$ref");
  });

  it.each<[string, z.ZodType, string]>([
    ["a date", z.object({ since: z.date() }), ".since"],
    ["a date inside of a list", z.object({ a: z.array(z.object({ b: z.date() })) }), ".a[].b"],
    ["a date that may be missing", z.object({ a: z.date().optional() }), ".a"],
    ["one of several", z.object({ u: z.union([z.string(), z.bigint()]) }), ".u"],
    ["a place of a tuple", z.object({ t: z.tuple([z.string(), z.date()]) }), ".t[1]"],
    ["values of a record", z.object({ r: z.record(z.string(), z.bigint()) }), ".r[key]"],
    ["a map", z.object({ m: z.map(z.string(), z.string()) }), ".m"],
    ["a set", z.object({ ok: z.string(), s: z.set(z.string()) }), ".s"],
    ["a transform alone", z.object({ t: z.transform(Number) }), ".t"],
    ["a symbol", z.object({ s: z.symbol() }), ".s"],
    ["a check of one's own", z.object({ c: z.custom<string>(() => true) }), ".c"],
    ["undefined", z.object({ u: z.undefined() }), ".u"],
    ["something lazy", z.object({ l: z.lazy(() => z.date()) }), ".l"],
    ["the whole", z.date(), ""],
  ])("names the field that has no JSON form: %s", (_, schema, place) => {
    const { code, param, message } = refusal(schema);
    expect(code).toBe("invalid_definition");
    expect(param).toBe(`tools[0].parameters${place}`);
    expect(message).toMatch(/^The schema.* cannot be represented in JSON Schema\.$/);
    expect(message).toContain(place.replace(/^\./, ""));
  });

  it("names the first of several fields", () => {
    expect(refusal(z.object({ a: z.date(), b: z.bigint(), c: z.set(z.string()) })).param).toBe(
      "tools[0].parameters.a",
    );
  });
});

describe("what Zod says is kept by the server, not refused", () => {
  it.each<[string, z.ZodType]>([
    [
      "texts",
      z
        .string()
        .min(1)
        .max(9)
        .regex(/^[a-z]+$/),
    ],
    ["an address", z.email()],
    ["a link", z.url()],
    ["an id", z.uuid()],
    ["a moment", z.iso.datetime()],
    ["a day", z.iso.date()],
    ["an IPv4 address", z.ipv4()],
    ["numbers", z.number().min(0).max(1)],
    ["whole numbers", z.int().positive().lt(10)],
    ["a multiple", z.int().multipleOf(5)],
    ["choices", z.enum(["a", "b"])],
    ["a literal", z.literal(["a", 1, null])],
    ["what may be null or missing", z.string().nullable().optional()],
    ["a default", z.boolean().default(false)],
    ["a list", z.array(z.string()).min(1).max(3)],
    ["a tuple", z.tuple([z.string(), z.int()])],
    ["a tuple with a rest", z.tuple([z.string()]).rest(z.int())],
    ["a record", z.record(z.string(), z.number())],
    ["a record of all", z.record(z.enum(["a", "b"]), z.number())],
    ["a record by pattern", z.record(z.string().regex(/^x-/), z.number())],
    ["a record of some", z.partialRecord(z.enum(["a", "b"]), z.number())],
    ["one of several", z.union([z.string(), z.int()])],
    [
      "one of several kinds",
      z.discriminatedUnion("kind", [
        z.object({ kind: z.literal("a") }),
        z.object({ kind: z.literal("b"), n: z.int() }),
      ]),
    ],
    ["both", z.intersection(z.object({ a: z.string() }), z.object({ b: z.string() }))],
    ["more", z.object({ a: z.string() }).extend({ b: z.int() })],
    ["anything", z.json()],
    ["a transform", z.string().transform(Number)],
  ])("%s", (_, schema) => {
    const converted = of(z.object({ value: schema }));
    expect(() => enforceable(converted, ["tools", 0, "parameters"])).not.toThrow();
  });
});

describe("a schema of others", () => {
  it("is what its library says", () => {
    const schema = {
      "~standard": {
        version: 1,
        vendor: "mine",
        validate: (value: unknown) => ({ value }),
        jsonSchema: {
          input: (options: object) => {
            expect(options).toEqual({ target: "draft-2020-12", libraryOptions: undefined });
            return { $schema: "x", type: "object" };
          },
        },
      },
    };
    expect(of(schema)).toEqual({ type: "object" });
  });

  it("is refused with its library's words", () => {
    const input = () => {
      throw new Error("No way");
    };
    const standard = { version: 1, vendor: "mine", validate: () => ({}), jsonSchema: { input } };
    expect(refusal({ "~standard": standard }).message).toBe("The schema: No way.");
  });

  it.each<[string, unknown]>([
    ["zod/mini", mini.object({})],
    ["Zod 3", { _def: { typeName: "ZodObject" }, parse: () => {} }],
    ["a library without JSON schemas", { "~standard": { version: 1, vendor: "x" } }],
  ])("is refused if it doesn't tell its JSON schema: %s", (_, schema) => {
    expect(refusal(schema).message).toContain("doesn't tell its JSON schema");
  });
});

describe("a JSON schema", () => {
  it("stays as it is", () => {
    const schema = { type: "object", properties: { a: { type: "string" } } };
    expect(of(schema)).toBe(schema);
  });

  it.each([["text"], [42], [true], [[]], [null], [() => {}]])("is no %s", (schema) => {
    expect(refusal(schema)).toMatchObject({
      code: "invalid_definition",
      param: "tools[0].parameters",
    });
  });
});
