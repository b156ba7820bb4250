/**
 * What an answer is to be, as users say it and as it goes to the server, and the value that a whole answer is.
 */
import type { CreateResponseBody, ResponseObject } from "../protocol/index.js";
import { InvalidOutputError } from "./errors.js";
import {
  check,
  isStandardSchema,
  jsonSchemaOf,
  type Schema,
  type StandardSchema,
} from "./schemas.js";

type WireFormat = NonNullable<NonNullable<CreateResponseBody["text"]>["format"]>;
type WireSchemaFormat = Extract<WireFormat, { type: "json_schema" }>;

/** A JSON schema with its name; the schema may be one of Zod or its like. */
export interface SchemaFormat<S extends Schema = Schema> extends Omit<WireSchemaFormat, "schema"> {
  schema: S;
}

/** A schema of Zod or its like is its own format. */
export type Format =
  | StandardSchema
  | SchemaFormat
  | Exclude<WireFormat, { type: "json_schema" }>
  | null
  | undefined;

/** The type of `parsed`; null is what has no JSON to it. */
export type ParsedOf<F> =
  F extends StandardSchema<infer Output>
    ? Output
    : F extends { schema: StandardSchema<infer Output> }
      ? Output
      : F extends { type: "json_schema" | "json_object" }
        ? unknown
        : null;

/** Schemas that are formats need a name there. */
const defaultName = "answer";
const place = "text.format";

/** Throws DefinitionError. */
export function wireFormat(format: Format): WireFormat | null | undefined {
  if (isStandardSchema(format)) {
    const schema = jsonSchemaOf(format, place, place);
    return { type: "json_schema", name: defaultName, schema: { ...schema } };
  }
  if (format?.type !== "json_schema") return format;
  const param = `${place}.schema`;
  return { ...format, schema: { ...jsonSchemaOf(format.schema, param, param) } };
}

/**
 * The value of a whole answer. Null where there is none: no JSON was asked for, the answer did not come to its end,
 * or it calls tools. Rejects with InvalidOutputError.
 */
export async function parsedOutput(
  format: Format,
  text: string,
  response: ResponseObject,
): Promise<unknown> {
  if (!isJson(format) || response.status !== "completed") return null;
  if (!response.output.some(({ type }) => type === "message")) return null;
  const value = parse(text, response);
  const schema = isStandardSchema(format) ? format : "schema" in format ? format.schema : undefined;
  if (!isStandardSchema(schema)) return value;
  const checked = await check(schema, value);
  if (checked.issues) throw new InvalidOutputError(text, response, checked.issues);
  return checked.value;
}

type JsonFormat = Exclude<Format, { type: "text" } | null | undefined>;

function isJson(format: Format): format is JsonFormat {
  if (format == null) return false;
  return isStandardSchema(format) || format.type !== "text";
}

function parse(text: string, response: ResponseObject): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidOutputError(text, response, [{ message: "it is no JSON" }]);
  }
}
