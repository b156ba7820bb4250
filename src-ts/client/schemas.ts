/**
 * Schemas of users: JSON schemas as they are, and those of libraries such as Zod, which say what their JSON
 * schema is and check values. Knows no such library: it asks by the Standard Schema interface.
 */
import { DefinitionError, type SchemaIssue } from "./errors.js";

/** A JSON schema as an object. */
export interface JsonSchema {
  readonly [keyword: string]: unknown;
}

type Checked<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/**
 * A schema that checks values and tells its JSON schema: those of Zod 4.2 and later, ArkType, and all others that
 * implement Standard Schema and Standard JSON Schema (https://standardschema.dev).
 */
export interface StandardSchema<Output = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly types?: { readonly output: Output } | undefined;
    readonly validate: (value: unknown) => Checked<Output> | Promise<Checked<Output>>;
    readonly jsonSchema: {
      readonly input: (options: {
        readonly target: "draft-2020-12";
        readonly libraryOptions?: Record<string, unknown> | undefined;
      }) => Record<string, unknown>;
    };
  };
}

export type Schema = StandardSchema | JsonSchema;

/** The type of what a schema lets through. Of a JSON schema nothing is known. */
export type OutputOf<S> = S extends StandardSchema<infer Output> ? Output : unknown;

export function isStandardSchema(schema: unknown): schema is StandardSchema {
  return isObject(schema) && "~standard" in schema;
}

/**
 * The JSON schema of what a model has to write: of the input, where a schema transforms it. `subject` and `param`
 * name what it is for. Throws DefinitionError, with the field where there is one.
 */
export function jsonSchemaOf(schema: Schema, subject: string, param: string): JsonSchema {
  if (!isStandardSchema(schema)) return plainSchema(schema, subject, param);
  const standard = schema["~standard"];
  if (typeof standard.jsonSchema?.input !== "function") {
    throw new DefinitionError(
      `${subject}: the schema doesn't tell its JSON schema. ${remedy}`,
      param,
    );
  }
  try {
    return convert(standard, zodOptions(asEnforced));
  } catch (cause) {
    const place = standard.vendor === "zod" ? unrepresentablePlace(standard) : "";
    const field = place === "" ? "" : `, field ${place.slice(place.startsWith(".") ? 1 : 0)}`;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DefinitionError(`${subject}${field}: ${reason}.`, param + place, cause);
  }
}

/** Rejects with nothing: what is wrong is a value. */
export async function check<Output>(
  schema: StandardSchema<Output>,
  value: unknown,
): Promise<Checked<Output>> {
  return schema["~standard"].validate(value);
}

const remedy = "Give a JSON schema, or one of Zod 4.2 or later (not of zod/mini).";

function isObject(value: unknown): value is object {
  return (typeof value === "object" || typeof value === "function") && value !== null;
}

function plainSchema(schema: JsonSchema, subject: string, param: string): JsonSchema {
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) {
    throw new DefinitionError(`${subject}: the schema must be an object.`, param);
  }
  // Schemas of Zod before Standard Schema.
  if ("_def" in schema) {
    throw new DefinitionError(
      `${subject}: the schema doesn't tell its JSON schema. ${remedy}`,
      param,
    );
  }
  return schema;
}

/** What Zod tells of a part of a schema that it has converted. */
interface ZodPart {
  zodSchema: { _zod: { def: { type: string; catchall?: unknown } } };
  jsonSchema: Record<string, unknown>;
  path: readonly (string | number)[];
}

function zodOptions(override: (part: ZodPart) => void, more: object = {}) {
  return { override, ...more };
}

function convert(
  standard: StandardSchema["~standard"],
  options: Record<string, unknown>,
): JsonSchema {
  const libraryOptions = standard.vendor === "zod" ? options : undefined;
  const { $schema: _, ...schema } = standard.jsonSchema.input({
    target: "draft-2020-12",
    libraryOptions,
  });
  return schema;
}

/** Says the same so that it can be kept while a model writes. */
function asEnforced(part: ZodPart): void {
  closeObject(part);
  nameKeys(part);
}

/**
 * Zod drops properties that an object doesn't name: a model need not write them. Inside of an intersection
 * another part may name them.
 */
function closeObject({ zodSchema, jsonSchema, path }: ZodPart): void {
  const { type, catchall } = zodSchema._zod.def;
  const isOpen = type === "object" && catchall === undefined && !path.includes("allOf");
  if (isOpen && jsonSchema.type === "object") jsonSchema.additionalProperties ??= false;
}

/** Keys of a record as properties: what may be a key can't be kept to by itself. */
function nameKeys({ zodSchema, jsonSchema }: ZodPart): void {
  const { propertyNames, additionalProperties: value } = jsonSchema;
  if (zodSchema._zod.def.type !== "record" || !isObject(propertyNames)) return;
  const { enum: names, pattern } = propertyNames as { enum?: string[]; pattern?: string };
  if (names !== undefined) {
    jsonSchema.properties = Object.fromEntries(names.map((name) => [name, value]));
  } else if (pattern !== undefined) jsonSchema.patternProperties = { [pattern]: value };
  else return;
  delete jsonSchema.propertyNames;
  jsonSchema.additionalProperties = false;
}

/** Types of Zod that hold others, or anything; all others that give an empty schema have none. */
const emptyByRight = new Set(
  "any unknown optional nonoptional nullable default prefault catch readonly pipe lazy promise".split(
    " ",
  ),
);

/** The first part that has no JSON form; empty if it is the whole, or can't be told. */
function unrepresentablePlace(standard: StandardSchema["~standard"]): string {
  const places: string[] = [];
  const look = ({ zodSchema, jsonSchema, path }: ZodPart): void => {
    const isEmpty = Object.keys(jsonSchema).length === 0;
    if (isEmpty && !emptyByRight.has(zodSchema._zod.def.type)) places.push(placeOf(path));
  };
  try {
    convert(standard, zodOptions(look, { unrepresentable: "any" }));
  } catch {
    return "";
  }
  // Zod goes from the last to the first.
  return places.at(-1) ?? "";
}

/** A path in a JSON schema as the field that it is about: `.stops[].since`. */
function placeOf(path: readonly (string | number)[]): string {
  let place = "";
  for (let at = 0; at < path.length; at += 1) {
    const step = path[at]!;
    if (step === "properties") place += `.${path[++at]}`;
    else if (step === "prefixItems") place += `[${path[++at]}]`;
    else if (step === "items") place += "[]";
    else if (step === "additionalProperties") place += "[key]";
    else if (step === "$defs") at += 1;
    else if (typeof step === "string" && alternatives.has(step)) at += 1;
  }
  return place;
}

const alternatives = new Set(["anyOf", "oneOf", "allOf"]);
