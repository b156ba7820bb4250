/**
 * Whether a schema has an answer that ends: one that requires itself has none, and a model would write for ever.
 * Reads what the walk has made.
 */
import { type Fields, isFields } from "./parts.js";

/**
 * Whether a schema refers to itself for the same value, so that nobody could ever tell what it says of it:
 * through alternatives and references alone.
 */
export function isCircular(whole: Fields): boolean {
  const definitions = isFields(whole.$defs) ? whole.$defs : {};
  const states = new Map<string, "open" | "done">();
  const visit = (schema: unknown): boolean => referencesAt(schema).some(reaches);
  const reaches = (name: string): boolean => {
    const state = states.get(name);
    if (state !== undefined) return state === "open";
    states.set(name, "open");
    const isCircle = visit(definitions[name]);
    states.set(name, "done");
    return isCircle;
  };
  return visit(whole);
}

/** Names of the definitions that a schema refers to for its own value. */
function referencesAt(schema: unknown): string[] {
  if (!isFields(schema)) return [];
  const { $ref, allOf = [], anyOf = [] } = schema;
  const own = typeof $ref === "string" ? [nameIn($ref)] : [];
  return [...own, ...[...(allOf as unknown[]), ...(anyOf as unknown[])].flatMap(referencesAt)];
}

function nameIn(reference: string): string {
  return reference.slice(reference.lastIndexOf("/") + 1);
}

export function hasFiniteAnswer(whole: Fields): boolean {
  const definitions = isFields(whole.$defs) ? whole.$defs : {};
  const finite = new Set<string>();
  // Each round knows of more, until there is nothing to add.
  for (let before = -1; before < finite.size; ) {
    before = finite.size;
    for (const [name, schema] of Object.entries(definitions))
      if (!finite.has(name) && ends(schema, finite)) finite.add(name);
  }
  return ends(whole, finite);
}

function ends(schema: unknown, finite: ReadonlySet<string>): boolean {
  if (!isFields(schema)) return schema !== false;
  const { $ref, allOf, anyOf, type } = schema;
  if (typeof $ref === "string" && !finite.has(nameIn($ref))) return false;
  if (Array.isArray(allOf) && !allOf.every((part) => ends(part, finite))) return false;
  if (Array.isArray(anyOf) && !anyOf.some((part) => ends(part, finite))) return false;
  const kinds: unknown[] = type === undefined ? ["null"] : Array.isArray(type) ? type : [type];
  return kinds.some((kind) => {
    if (kind === "object") return objectEnds(schema, finite);
    return kind === "array" ? arrayEnds(schema, finite) : true;
  });
}

function objectEnds(schema: Fields, finite: ReadonlySet<string>): boolean {
  const { properties, required } = schema;
  if (!Array.isArray(required) || !isFields(properties)) return true;
  return required.every(
    (name) => !Object.hasOwn(properties, name) || ends(properties[name], finite),
  );
}

function arrayEnds(schema: Fields, finite: ReadonlySet<string>): boolean {
  const { minItems = 0, prefixItems, items } = schema;
  const least = minItems as number;
  const first = Array.isArray(prefixItems) ? prefixItems : [];
  if (!first.slice(0, least).every((item) => ends(item, finite))) return false;
  return least <= first.length || items === undefined || ends(items, finite);
}
