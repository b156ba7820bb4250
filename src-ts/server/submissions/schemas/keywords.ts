/** What becomes of each keyword of JSON Schema (2020-12, and what is left of the drafts before it). */

/** Why a grammar can't do it. */
export const refused: Readonly<Record<string, string>> = {
  not: "a grammar can't say what something must not be",
  if: "conditions are not supported; use anyOf",
  contains: "a grammar can't look for an element anywhere in a list",
  minContains: "a grammar can't look for an element anywhere in a list",
  maxContains: "a grammar can't look for an element anywhere in a list",
  dependentRequired: "one property can't depend on another; use anyOf",
  dependentSchemas: "one property can't depend on another; use anyOf",
  dependencies: "one property can't depend on another; use anyOf",
  unevaluatedProperties: "use additionalProperties",
  unevaluatedItems: "use items",
  propertyNames: "use patternProperties with additionalProperties: false",
  $dynamicRef: "use $ref",
  $recursiveRef: "use $ref",
  extends: "use allOf",
  disallow: "a grammar can't say what something must not be",
  divisibleBy: "use multipleOf",
};

/** With these values a refused keyword asks for nothing. */
export function asksForNothing(keyword: string, value: unknown): boolean {
  if (keyword === "propertyNames") return value === true || saysString(value);
  return keyword.startsWith("unevaluated") && value === true;
}

/** As Zod writes a record of strings: names of properties are strings anyway. */
function saysString(schema: unknown): boolean {
  if (typeof schema !== "object" || schema === null) return false;
  return Object.entries(schema).every(([key, value]) => key === "type" && value === "string");
}

/** In the order in which a schema has them, since properties are written in that order. */
export const applicators = new Set(["allOf", "anyOf", "oneOf", "$ref", "const", "enum"]);

export const types = ["null", "boolean", "integer", "number", "string", "array", "object"] as const;
export type Type = (typeof types)[number];

/** That a refusal may name. */
export const keywords: ReadonlySet<string> = new Set([
  ...Object.keys(refused),
  ...applicators,
  ...["$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "type", "format"],
  ...["pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum"],
  ...["exclusiveMaximum", "multipleOf", "items", "prefixItems", "additionalItems", "minItems"],
  ...["maxItems", "uniqueItems", "properties", "patternProperties", "additionalProperties"],
  ...["required", "minProperties", "maxProperties", "$defs", "definitions"],
]);
