/**
 * What the link's schemas say, in the terms of the worker's Python: by schema a type, and the check of a value that
 * has come. Reads Zod's own definitions; https://zod.dev/library-authors says which parts of them are kept stable.
 */

const u32Max = 0xffff_ffff;

/**
 * @typedef {import("zod").ZodType} Schema
 * @typedef {{
 *   name: string,
 *   schema: Schema,
 *   kind: "record" | "variants" | "alias",
 * }} Declaration A type that has a name in Python: a class, the union of several, or another name for a type.
 */

export class Shapes {
  /** @type {Map<Schema, string>} */
  #names = new Map();
  /** @type {Set<Schema>} */
  #declared = new Set();

  /**
   * @param {Record<string, Schema>} messages By name.
   * @param {Record<string, unknown>} exported What else has a name.
   */
  constructor(messages, exported) {
    for (const [name, schema] of Object.entries(exported))
      if (isSchema(schema)) this.#names.set(schema, name);
    this.messages = Object.entries(messages).map(([name, schema]) => {
      if (!this.#names.has(schema)) this.#names.set(schema, pascal(name));
      return { message: name, name: this.#names.get(schema), schema };
    });
  }

  /** Those of the messages and all that they are made of, each after what it is made of itself. */
  declarations() {
    this.#declared.clear();
    return this.messages.flatMap(({ schema }) => this.#declarationsOf(schema));
  }

  /** @returns {Declaration[]} */
  #declarationsOf(schema) {
    if (this.#declared.has(schema)) return [];
    this.#declared.add(schema);
    const { type } = schema.def;
    if (isTagged(schema)) {
      for (const option of schema.options)
        if (!this.#names.has(option)) this.#names.set(option, pascal(tagOf(schema, option)));
    }
    const parts = partsOf(schema).flatMap((part) => this.#declarationsOf(part));
    const name = this.#names.get(schema);
    if (name === undefined) {
      if (type === "object") throw new Error("an object without a name: export its schema");
      return parts;
    }
    const kind = type === "object" ? "record" : isTagged(schema) ? "variants" : "alias";
    return [...parts, { name, schema, kind }];
  }

  nameOf(schema) {
    return this.#names.get(schema);
  }
}

/** @returns {schema is Schema} */
function isSchema(value) {
  return typeof value === "object" && value !== null && "_zod" in value;
}

export function isTagged(schema) {
  return schema.def.type === "union" && schema.def.discriminator !== undefined;
}

/** A field that says which variant of a union it is; in Python its class says so. */
export function isTag(schema) {
  return schema.def.type === "literal" && typeof schema.def.values[0] === "string";
}

/** The value by which a variant is told. */
export function tagOf(union, option) {
  return option.shape[union.def.discriminator].value;
}

function partsOf(schema) {
  const { def } = schema;
  if (checkOf(schema) !== undefined) return [];
  switch (def.type) {
    case "object":
      return Object.values(schema.shape);
    case "array":
      return [def.element];
    case "tuple":
      return def.items;
    case "union":
      return def.options;
    case "record":
      return [def.keyType, def.valueType];
    case "optional":
    case "nullable":
      return [def.innerType];
    default:
      return [];
  }
}

/** The name of a check of its own, as the schema's notes have it. */
export function checkOf(schema) {
  return schema.meta()?.check;
}

/** Of an optional field what is meant without it; undefined where there is nothing then. */
export function absentOf(schema) {
  return schema.meta()?.absent;
}

/** What a constructor has where nothing is said; undefined where it must be. */
export function usualOf(schema) {
  return schema.meta()?.usual;
}

/** @returns {{ low: number, high: number }} Of a number; without bounds they are infinite. */
export function boundsOf(schema) {
  return { low: schema.minValue ?? -Infinity, high: schema.maxValue ?? Infinity };
}

export function isInteger(schema) {
  return schema.isInt;
}

export function isU32(schema) {
  const { low, high } = boundsOf(schema);
  return isInteger(schema) && low === 0 && high === u32Max;
}

/** A message has its own name, whatever its schema is called. */
export function withoutMessages(exported, messages) {
  const own = new Set(Object.values(messages));
  return Object.fromEntries(Object.entries(exported).filter(([, value]) => !own.has(value)));
}

export function pascal(name) {
  return name[0].toUpperCase() + name.slice(1);
}

export function snake(name) {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** A literal of Python. */
export function literal(value) {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "bigint") return String(value);
  return JSON.stringify(value);
}
