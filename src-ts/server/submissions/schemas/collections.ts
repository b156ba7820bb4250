/** Lists and objects: which elements and properties there are, and how many. */
import * as limits from "../../../protocol/limits.js";
import { checkLengths, type Fields, isFields, lengthOf, type Out } from "./parts.js";
import { type Path, unenforceable, wrong } from "./refusal.js";
import { patternOf } from "./strings.js";

/** A schema inside this one, by the steps that lead to it. */
type Into = (child: unknown, ...steps: PropertyKey[]) => Out;

export function arrayKeywords(schema: Fields, path: Path, into: Into): Record<string, unknown> {
  const minItems = lengthOf(schema, "minItems", path);
  const maxItems = lengthOf(schema, "maxItems", path);
  checkLengths(minItems, maxItems, ["minItems", "maxItems"], path);
  if ((minItems ?? 0) > limits.schemaLengthMinMax)
    wrong([...path, "minItems"], `must be at most ${limits.schemaLengthMinMax}`);
  if (schema.uniqueItems === true && (maxItems ?? 2) > 1)
    unenforceable([...path, "uniqueItems"], "a grammar doesn't know what it has written");
  const { prefixItems, items } = elements(schema, path, into);
  const fixed = prefixItems?.length ?? 0;
  if (items === false && (minItems ?? 0) > fixed)
    wrong([...path, "minItems"], `is more than the ${fixed} elements that there may be`);
  return {
    ...(prefixItems !== undefined && { prefixItems }),
    ...(items !== undefined && { items }),
    ...(minItems !== undefined && { minItems }),
    // No answer has so many tokens.
    ...(maxItems !== undefined && maxItems <= limits.outputTokensMax && { maxItems }),
  };
}

/** Drafts before 2020-12 have the first elements in `items`, and the others in `additionalItems`. */
function elements(schema: Fields, path: Path, into: Into) {
  const { items, prefixItems, additionalItems } = schema;
  const isOld = Array.isArray(items);
  const first = isOld ? items : prefixItems;
  const rest = isOld ? additionalItems : items;
  const restName = isOld ? "additionalItems" : "items";
  const firstName = isOld ? "items" : "prefixItems";
  if (first !== undefined && (!Array.isArray(first) || first.length === 0))
    wrong([...path, firstName], "must be a list of schemas");
  return {
    prefixItems: (first as unknown[] | undefined)?.map((one, i) => into(one, firstName, i)),
    items: rest === undefined ? undefined : into(rest, restName),
  };
}

export function objectKeywords(schema: Fields, path: Path, into: Into): Record<string, unknown> {
  const properties = propertiesOf(schema, "properties", path);
  const patterns = propertiesOf(schema, "patternProperties", path);
  const required = requiredOf(schema, path);
  const others = schema.additionalProperties;
  const out: Record<string, unknown> = {};
  if (properties !== undefined)
    out.properties = mapped(properties, (child, name) => into(child, "properties", name));
  if (patterns !== undefined)
    out.patternProperties = Object.fromEntries(
      Object.entries(patterns).map(([pattern, child]) => {
        const steps = ["patternProperties", pattern];
        return [patternOf(pattern, [...path, ...steps]), into(child, ...steps)];
      }),
    );
  if (others !== undefined) out.additionalProperties = into(others, "additionalProperties");
  if (required.length > 0) out.required = required;
  const shape = { properties: properties ?? {}, patterns: patterns ?? {}, required, others };
  checkPossible(shape, path);
  return { ...out, ...counts(schema, shape, path) };
}

interface Shape {
  properties: Fields;
  patterns: Fields;
  required: readonly string[];
  others: unknown;
}

function propertiesOf(schema: Fields, keyword: string, path: Path): Fields | undefined {
  const value = schema[keyword];
  if (value !== undefined && !isFields(value))
    wrong([...path, keyword], "must be an object of schemas");
  return value as Fields | undefined;
}

function mapped(from: Fields, to: (value: unknown, key: string) => Out): Record<string, Out> {
  return Object.fromEntries(Object.entries(from).map(([key, value]) => [key, to(value, key)]));
}

function requiredOf(schema: Fields, path: Path): readonly string[] {
  const value = schema.required ?? [];
  if (!Array.isArray(value) || !value.every((name) => typeof name === "string"))
    wrong([...path, "required"], "must be a list of names");
  return [...new Set(value as string[])];
}

function checkPossible({ properties, patterns, required, others }: Shape, path: Path): void {
  for (const name of required) {
    const schema = Object.hasOwn(properties, name) ? properties[name] : undefined;
    // Whether a pattern has it is not looked into: matching could take for ever.
    const isClosed = others === false && Object.keys(patterns).length === 0;
    if (schema === false || (schema === undefined && isClosed))
      wrong([...path, "required"], "names a property that there can't be");
  }
}

/**
 * What is left of them to enforce. Properties that are not named may be written twice and count once, so of
 * those at most one can be asked for.
 */
function counts(schema: Fields, { properties, patterns, required, others }: Shape, path: Path) {
  const least = lengthOf(schema, "minProperties", path) ?? 0;
  const most = lengthOf(schema, "maxProperties", path);
  checkLengths(least, most, ["minProperties", "maxProperties"], path);
  if (most !== undefined && most < required.length)
    wrong([...path, "maxProperties"], "is less than the properties that are required");
  const optional = Object.keys(properties).filter((name) => !required.includes(name));
  const isClosed = others === false && Object.keys(patterns).length === 0;
  const asksLeast = least > required.length;
  const asksMost = most !== undefined && !(isClosed && most >= required.length + optional.length);
  if (!asksLeast && !asksMost) return {};
  const name = asksLeast ? "minProperties" : "maxProperties";
  const [more, upTo] = [least - required.length, (most ?? Infinity) - required.length];
  if (optional.length > 0 && !(isClosed && more <= 1 && (upTo === 1 || most === undefined)))
    unenforceable([...path, name], "it goes together with required properties only");
  if (more > 1 && !(isClosed && optional.length === 0))
    unenforceable([...path, name], "of properties without a name at most one can be asked for");
  return {
    ...(asksLeast && { minProperties: least }),
    ...(asksMost && { maxProperties: most }),
  };
}
