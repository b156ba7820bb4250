/** One route of the OpenAPI document: what is said of it, and short ways to say it. */
import type { z } from "zod";

export interface Parameter {
  in: "path" | "query" | "header";
  name: string;
  description: string;
  schema: z.ZodType;
  example?: unknown;
}

export interface Answer {
  description: string;
  /** JSON, unless `contentType` says otherwise. */
  schema?: z.ZodType;
  example?: unknown;
  contentType?: string;
  /** The same as server-sent events: what the `data:` of one may be, and the text that ends them. */
  events?: { data: readonly z.ZodType[]; last?: string };
  /** The same as lines of JSON: what each may be. */
  lines?: readonly z.ZodType[];
  /** Operations that take the answer's id, as this path parameter. */
  links?: { to: readonly string[]; parameter: string };
}

export interface Operation {
  id: string;
  method: "get" | "post" | "delete";
  path: string;
  tag: "inference" | "responses" | "models" | "probes" | "operations" | "console" | "documents";
  summary: string;
  /** Answers without a key. */
  isOpen?: boolean;
  /** Ignores what it can't follow, and says so. */
  isTolerant?: boolean;
  parameters?: readonly Parameter[];
  body?: { schema: z.ZodType; example: unknown; isOptional?: boolean };
  answers: Readonly<Record<number, Answer>>;
  /** Whose shape refusals have; default: OpenAI's. `either`: that of whoever asks. */
  dialect?: "anthropic" | "either" | "ollama";
  /** Statuses beside those that any route may answer with. */
  errors?: readonly number[];
}

export const json = (description: string, schema: z.ZodType, example: unknown): Answer => ({
  description,
  schema,
  example,
});

export const text = (description: string, contentType: string): Answer => ({
  description,
  contentType,
});
