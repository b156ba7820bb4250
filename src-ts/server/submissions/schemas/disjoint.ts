/**
 * Whether two schemas can both be true of one value, as far as can be told from their types, their values and
 * the properties that they require. False: it can't be told.
 */
import { types } from "./keywords.js";
import { type Fields, isFields } from "./parts.js";

type Resolve = (reference: unknown) => unknown;

/** References and alternatives that are followed from one schema. */
const stepsMax = 16;

export function areDisjoint(a: unknown, b: unknown, resolve: Resolve, steps = stepsMax): boolean {
  if (a === false || b === false) return true;
  if (steps <= 0 || !isFields(a) || !isFields(b)) return false;
  const deeper = (x: unknown, y: unknown) => areDisjoint(x, y, resolve, steps - 1);
  if (a.$ref !== undefined && deeper(resolve(a.$ref), b)) return true;
  if (b.$ref !== undefined && deeper(a, resolve(b.$ref))) return true;
  if (anyPart(a, (part) => deeper(part, b)) || anyPart(b, (part) => deeper(a, part))) return true;
  const [typesA, typesB] = [typesOf(a), typesOf(b)];
  if (![...typesA].some((type) => typesB.has(type))) return true;
  const [valuesA, valuesB] = [valuesOf(a), valuesOf(b)];
  if (valuesA !== undefined && valuesB !== undefined)
    return ![...valuesA].some((value) => valuesB.has(value));
  return haveApartNumbers(a, b, typesA, typesB) || areApartObjects(a, b, typesA, typesB, deeper);
}

/** All of whose alternatives, or any of whose parts, are apart from the other schema. */
function anyPart(schema: Fields, isApart: (part: unknown) => boolean): boolean {
  const { allOf, anyOf, oneOf } = schema;
  if (Array.isArray(allOf) && allOf.some(isApart)) return true;
  return [anyOf, oneOf].some(
    (some) => Array.isArray(some) && some.length > 0 && some.every(isApart),
  );
}

function typesOf(schema: Fields): Set<string> {
  const { type } = schema;
  const values = listedValues(schema);
  if (values !== undefined) return new Set(values.map(typeOf));
  const given: unknown[] = type === undefined ? [...types] : Array.isArray(type) ? type : [type];
  return new Set(given.map((one) => (one === "integer" ? "number" : String(one))));
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

function listedValues({ const: value, enum: values }: Fields): unknown[] | undefined {
  if (value !== undefined) return [value];
  return Array.isArray(values) ? values : undefined;
}

function valuesOf(schema: Fields): Set<string> | undefined {
  const values = listedValues(schema);
  return values && new Set(values.map(canonical));
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    isFields(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([x], [y]) => (x < y ? -1 : 1)))
      : part,
  );
}

function isOnly(kinds: Set<string>, kind: string): boolean {
  return kinds.size === 1 && kinds.has(kind);
}

function haveApartNumbers(a: Fields, b: Fields, typesA: Set<string>, typesB: Set<string>): boolean {
  if (!isOnly(typesA, "number") && !isOnly(typesB, "number")) return false;
  return isBelow(a, b) || isBelow(b, a);
}

/** The largest of the one is less than the smallest of the other. */
function isBelow(low: Fields, high: Fields): boolean {
  const tops = [low.maximum, low.exclusiveMaximum].filter((top) => typeof top === "number");
  const bottoms = [high.minimum, high.exclusiveMinimum].filter((one) => typeof one === "number");
  if (tops.length === 0 || bottoms.length === 0) return false;
  const [top, bottom] = [Math.min(...tops), Math.max(...bottoms)];
  const isOpen = low.exclusiveMaximum === top || high.exclusiveMinimum === bottom;
  return top < bottom || (top === bottom && isOpen);
}

function areApartObjects(
  a: Fields,
  b: Fields,
  typesA: Set<string>,
  typesB: Set<string>,
  areApart: (x: unknown, y: unknown) => boolean,
): boolean {
  if (!isOnly(typesA, "object") && !isOnly(typesB, "object")) return false;
  const required = new Set([...namesOf(a.required), ...namesOf(b.required)]);
  return [...required].some((name) => areApart(propertyOf(a, name), propertyOf(b, name)));
}

function namesOf(required: unknown): string[] {
  return Array.isArray(required) ? required.map(String) : [];
}

/** What a property must be: known where it has a name, or where there are no others. */
function propertyOf(schema: Fields, name: string): unknown {
  const { properties, patternProperties, additionalProperties } = schema;
  if (isFields(properties) && Object.hasOwn(properties, name)) return properties[name];
  return patternProperties === undefined && additionalProperties !== undefined
    ? additionalProperties
    : true;
}
