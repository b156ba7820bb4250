/**
 * What a body wants its answer kept to, under whichever of its names, as a worker gets it. Throws 400 for what
 * can't be enforced, and where a body asks for two things.
 */

import type { z } from "zod";
import type { Constraint } from "../../engine/api.js";
import type {
  OutputFormat,
  ResponseFormat,
  structuredOutput,
  TextFormat,
} from "../../protocol/structured-output.js";
import { paramOf } from "../validation/validate.js";
import { conflict } from "./conflict.js";
import { anyObject, enforceable } from "./schemas/index.js";
import { translated, Untranslatable } from "./schemas/patterns.js";
import { type Path, unenforceable, wrong } from "./schemas/refusal.js";

type Body = { [K in keyof typeof structuredOutput]?: z.output<(typeof structuredOutput)[K]> } & {
  text?: { format?: TextFormat | null | undefined } | null | undefined;
};

/** As Anthropic names it. */
interface AnthropicBody {
  output_config?: { format?: OutputFormat | null | undefined } | null | undefined;
  output_format?: OutputFormat | null | undefined;
}

interface Asked {
  path: Path;
  make(path: Path): Constraint;
}

/** The fields of a submission; none where the answer may be anything. */
export interface Constrained {
  constraint?: Constraint;
  constraintName?: string;
}

export function constraintOf(body: Body): Constrained {
  return oneOf(wishes(body));
}

export function anthropicConstraintOf(body: AnthropicBody): Constrained {
  return oneOf([
    ...formatWish(body.output_config?.format, ["output_config", "format"]),
    ...formatWish(body.output_format, ["output_format"]),
  ]);
}

/** Ollama's: the word `json`, or a schema. */
export function formatConstraintOf(format: string | object | null | undefined): Constrained {
  if (typeof format !== "string") return oneOf(wish(["format"], format, json));
  return oneOf(format === "json" ? formatWish({ type: "json_object" }, ["format"]) : []);
}

function oneOf([asked, other]: readonly Asked[]): Constrained {
  if (asked === undefined) return {};
  const name = paramOf(asked.path);
  if (other !== undefined)
    throw conflict(
      name,
      `${name} and ${paramOf(other.path)} can't both be kept to; send one of them.`,
    );
  return { constraint: asked.make(asked.path), constraintName: name };
}

function wishes(body: Body): Asked[] {
  const { response_format: format, structured_outputs: outputs, text } = body;
  return [
    ...formatWish(format, ["response_format"]),
    ...formatWish(text?.format, ["text", "format"]),
    ...[
      wish(["guided_json"], body.guided_json, json),
      wish(["guided_regex"], body.guided_regex, regex),
      wish(["guided_choice"], body.guided_choice, choice),
      wish(["guided_grammar"], body.guided_grammar, grammar),
      wish(["structured_outputs", "json"], outputs?.json, json),
      wish(["structured_outputs", "regex"], outputs?.regex, regex),
      wish(["structured_outputs", "choice"], outputs?.choice, choice),
      wish(["structured_outputs", "grammar"], outputs?.grammar, grammar),
      wish(["json_schema"], body.json_schema, json),
      wish(["grammar"], body.grammar || undefined, grammar),
      wish(["regex"], body.regex, regex),
      wish(["ebnf"], body.ebnf, grammar),
    ].flat(),
  ];
}

function wish<T>(
  path: Path,
  value: T | null | undefined,
  make: (value: T, path: Path) => Constraint,
): Asked[] {
  return value == null ? [] : [{ path, make: () => make(value, path) }];
}

type Format = ResponseFormat | TextFormat | OutputFormat;

function formatWish(format: Format | null | undefined, path: Path): Asked[] {
  switch (format?.type) {
    case "json_object":
      if ("schema" in format && format.schema != null)
        return wish([...path, "schema"], format.schema, json);
      return [{ path, make: () => ({ kind: "json", text: anyObject }) }];
    case "json_schema": {
      const isNested = "json_schema" in format;
      const schema = (isNested ? format.json_schema.schema : format.schema) ?? {};
      return wish([...path, ...(isNested ? ["json_schema"] : []), "schema"], schema, json);
    }
    case "text":
    case undefined:
      return [];
  }
}

function json(schema: string | object, path: Path): Constraint {
  return { kind: "json", text: enforceable(parsed(schema, path), path) };
}

function parsed(schema: string | object, path: Path): unknown {
  if (typeof schema !== "string") return schema;
  try {
    return JSON.parse(schema);
  } catch {
    return wrong(path, "must be a JSON schema");
  }
}

/** Matched as a whole. */
function regex(pattern: string, path: Path): Constraint {
  return { kind: "regex", text: wholePattern(pattern, path) };
}

/** As the grammars' library has it. */
export function wholePattern(pattern: string, path: Path): string {
  try {
    return translated(pattern);
  } catch (error) {
    if (!(error instanceof Untranslatable)) throw error;
    return unenforceable(path, error.message);
  }
}

function choice(choices: readonly string[]): Constraint {
  return { kind: "choice", text: JSON.stringify([...new Set(choices)]) };
}

function grammar(text: string, path: Path): Constraint {
  checkRules(text, path);
  return { kind: "lark", text };
}

/** A schema inside a grammar would be read by nobody here. */
export function checkRules(text: string, path: Path): void {
  if (/%(json|llguidance|regex)\b/.test(text))
    unenforceable(path, "a grammar has rules alone; directives of the library are not taken");
}
