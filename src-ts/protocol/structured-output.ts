/**
 * What an answer is kept to: OpenAI's formats, and the extensions as vLLM names them. Shapes only; what of a
 * schema can be enforced, `server/submissions/schemas` says.
 */
import { z } from "zod";
import * as limits from "./limits.js";

const Schema = z.record(z.string(), z.unknown()).meta({ description: "A JSON schema." });

const schemaFields = {
  name: z
    .string()
    .regex(/^[\w-]+$/, "must have letters, digits, _ and - alone")
    .max(limits.schemaNameCharsMax),
  description: z.string().max(limits.textCharsMax).nullish(),
  /** Kept to whatever it says. */
  strict: z.boolean().nullish(),
};

const formatTypes = { error: "must be text, json_object or json_schema" };

/** A chat's `response_format`. */
export const ResponseFormat = z.discriminatedUnion(
  "type",
  [
    z.object({ type: z.literal("text") }),
    // llama.cpp's form has the schema here.
    z.object({ type: z.literal("json_object"), schema: Schema.nullish() }),
    z.object({
      type: z.literal("json_schema"),
      json_schema: z.object({ ...schemaFields, schema: Schema.nullish() }),
    }),
  ],
  formatTypes,
);
export type ResponseFormat = z.infer<typeof ResponseFormat>;

/** The format of a response's text: the same, flat. */
export const TextFormat = z.discriminatedUnion(
  "type",
  [
    z.object({ type: z.literal("text") }),
    z.object({ type: z.literal("json_object") }),
    z.object({ type: z.literal("json_schema"), ...schemaFields, schema: Schema }),
  ],
  formatTypes,
);
export type TextFormat = z.infer<typeof TextFormat>;

/** Anthropic's: a schema and nothing beside it. */
export const OutputFormat = z.object({
  type: z.literal("json_schema", { error: "must be json_schema" }),
  schema: Schema,
});
export type OutputFormat = z.infer<typeof OutputFormat>;

/** As an object, or as its JSON. */
const guidedSchema = z.union([z.string().max(limits.schemaCharsMax), Schema], {
  error: "must be a JSON schema: an object, or its JSON as a string",
});
const guidedRegex = z.string().min(1).max(limits.patternCharsMax);
const guidedChoice = z
  .array(z.string().min(1).max(limits.textCharsMax))
  .min(1)
  .max(limits.choiceEntriesMax);
const guidedGrammar = z.string().min(1).max(limits.grammarCharsMax);

/** Any API takes any of them, but one at most. */
export const structuredOutput = {
  response_format: ResponseFormat.nullish(),
  guided_json: guidedSchema.nullish(),
  guided_regex: guidedRegex.nullish(),
  guided_choice: guidedChoice.nullish(),
  guided_grammar: guidedGrammar.nullish(),
  structured_outputs: z
    .object({
      json: guidedSchema.nullish(),
      regex: guidedRegex.nullish(),
      choice: guidedChoice.nullish(),
      grammar: guidedGrammar.nullish(),
    })
    .nullish(),
  /** The names of llama.cpp, whose clients send an empty grammar for none, and of SGLang. */
  json_schema: guidedSchema.nullish(),
  grammar: guidedGrammar.or(z.literal("")).nullish(),
  regex: guidedRegex.nullish(),
  ebnf: guidedGrammar.nullish(),
};
