/**
 * JSON Schema (2020-12) of everything public that has a name, made from the Zod schemas: what the
 * OpenAPI and AsyncAPI documents refer to. Knows no route and no message flow.
 */
import { z } from "zod";
import * as anthropic from "./anthropic.js";
import * as chat from "./chat.js";
import * as completions from "./completions.js";
import * as embeddings from "./embeddings.js";
import * as errors from "./errors.js";
import * as events from "./events.js";
import * as keys from "./keys.js";
import * as live from "./live.js";
import * as models from "./models.js";
import * as ollama from "./ollama.js";
import * as operations from "./operations.js";
import * as responses from "./responses.js";
import * as sessions from "./sessions.js";
import * as tickets from "./tickets.js";
import * as tokens from "./tokens.js";
import * as tools from "./tools.js";

export type JsonSchema = Record<string, unknown>;

const modules = [
  chat,
  completions,
  embeddings,
  errors,
  events,
  keys,
  live,
  models,
  ollama,
  operations,
  responses,
  sessions,
  tickets,
  tokens,
  tools,
  anthropic,
];

/** By the names under which the schemas are exported; the events of a response by their types. */
const named = z.registry<{ id: string }>();
const names = new Map<z.ZodType, string>();
for (const [name, value] of modules.flatMap((module) => Object.entries<unknown>({ ...module })))
  if (value instanceof z.ZodType) register(name, value);
for (const event of events.ResponseStreamEvent.options) register(event.shape.type.value, event);

function register(id: string, schema: z.ZodType): void {
  named.add(schema, { id });
  names.set(schema, id);
}

const uri = (id: string) => `#/components/schemas/${id}`;

/** What Zod can't say in JSON Schema, or says in a way that the draft forbids. */
function override({
  zodSchema,
  jsonSchema,
}: {
  zodSchema: z.core.$ZodTypes;
  jsonSchema: JsonSchema;
}) {
  if (zodSchema._zod.def.type === "undefined") jsonSchema.not = {};
  if (Array.isArray(jsonSchema.prefixItems) && jsonSchema.prefixItems.length === 0) {
    delete jsonSchema.prefixItems;
    delete jsonSchema.items;
  }
}

/** Every named schema. `io` is "input": nothing here transforms, and what may be left out is optional. */
export function componentSchemas(): Record<string, JsonSchema> {
  const { schemas } = z.toJSONSchema(named, { uri, unrepresentable: "any", io: "input", override });
  const entries = Object.entries(schemas as Record<string, JsonSchema>);
  return Object.fromEntries(
    entries.map(([id, { $schema: _, $id: __, ...schema }]) => [id, schema]),
  );
}

/** A reference, for a schema that has a name. */
export function refTo(schema: z.ZodType): { $ref: string } {
  const name = names.get(schema);
  if (name === undefined) throw new Error("The schema has no public name.");
  return { $ref: uri(name) };
}

/** Of a schema that is nobody else's: a parameter. */
export function inlineSchema(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "input" }) as JsonSchema;
  return rest;
}
