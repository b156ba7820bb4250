import { describe, expect, it } from "vitest";
import { isServingError } from "../../../../src-ts/errors.js";
import { constraintOf } from "../../../../src-ts/server/submissions/constraint.js";

const schema = { type: "null" };
const json = { kind: "json", text: '{"type":"null"}' };

describe("what a body wants its answer kept to", () => {
  it.each([
    [
      "a chat's schema",
      { response_format: { type: "json_schema", json_schema: { name: "n", schema } } },
      json,
      "response_format.json_schema.schema",
    ],
    [
      "one without a schema",
      { response_format: { type: "json_schema", json_schema: { name: "n" } } },
      { kind: "json", text: "{}" },
      "response_format.json_schema.schema",
    ],
    [
      "strict: false is kept too",
      {
        response_format: { type: "json_schema", json_schema: { name: "n", schema, strict: false } },
      },
      json,
      "response_format.json_schema.schema",
    ],
    [
      "any object",
      { response_format: { type: "json_object" } },
      { kind: "json", text: '{"type":"object"}' },
      "response_format",
    ],
    [
      "a response's schema",
      { text: { format: { type: "json_schema", name: "n", schema } } },
      json,
      "text.format.schema",
    ],
    ["a schema", { guided_json: schema }, json, "guided_json"],
    ["a schema as JSON", { guided_json: JSON.stringify(schema) }, json, "guided_json"],
    [
      "a schema in vLLM's newer form",
      { structured_outputs: { json: schema } },
      json,
      "structured_outputs.json",
    ],
    [
      "an expression",
      { guided_regex: "^\\d+$" },
      { kind: "regex", text: "^[0-9]+$" },
      "guided_regex",
    ],
    [
      "texts",
      { guided_choice: ["a", "b", "a"] },
      { kind: "choice", text: '["a","b"]' },
      "guided_choice",
    ],
    [
      "a grammar",
      { structured_outputs: { grammar: 'start: "a"' } },
      { kind: "lark", text: 'start: "a"' },
      "structured_outputs.grammar",
    ],
    ["llama.cpp's schema", { json_schema: schema }, json, "json_schema"],
    [
      "llama.cpp's schema of an object",
      { response_format: { type: "json_object", schema } },
      json,
      "response_format.schema",
    ],
    ["its grammar", { grammar: 'root ::= "a"' }, { kind: "lark", text: 'root ::= "a"' }, "grammar"],
    ["SGLang's grammar", { ebnf: 'root ::= "a"' }, { kind: "lark", text: 'root ::= "a"' }, "ebnf"],
    ["its expression", { regex: "a|b" }, { kind: "regex", text: "a|b" }, "regex"],
  ] as const)("%s", (_what, body, constraint, constraintName) => {
    expect(constraintOf(body as Parameters<typeof constraintOf>[0])).toEqual({
      constraint,
      constraintName,
    });
  });

  it.each([
    {},
    { response_format: null, guided_json: null, structured_outputs: {} },
    { response_format: { type: "text" } },
    { text: { format: { type: "text" } } },
    { grammar: "", regex: null, response_format: { type: "text" } },
  ] as const)("%j is nothing", (body) => {
    expect(constraintOf(body)).toEqual({});
  });

  it.each([
    [{ guided_json: "no JSON" }, "guided_json", "invalid_value"],
    [{ guided_json: "[1]" }, "guided_json", "invalid_value"],
    [{ guided_regex: "a(?=b)" }, "guided_regex", "unsupported_parameter"],
    [{ guided_grammar: 'start: %json {"not": {}}' }, "guided_grammar", "unsupported_parameter"],
    [{ guided_json: {}, guided_regex: "a" }, "guided_json", "invalid_value"],
    [{ grammar: 'root ::= "a"', json_schema: {} }, "json_schema", "invalid_value"],
    [
      { response_format: { type: "json_object" }, structured_outputs: { choice: ["a"] } },
      "response_format",
      "invalid_value",
    ],
    [
      { guided_json: { properties: { a: { not: {} } } } },
      "guided_json.properties.a.not",
      "unsupported_parameter",
    ],
  ] as const)("%j is refused", (body, param, code) => {
    try {
      constraintOf(body as Parameters<typeof constraintOf>[0]);
      expect.unreachable();
    } catch (error) {
      expect(isServingError(error) && { param: error.param, code: error.code }).toEqual({
        param,
        code,
      });
    }
  });
});
