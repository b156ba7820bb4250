/** Strings: lengths in characters, patterns, formats. */
import * as limits from "../../../protocol/limits.js";
import { formats } from "./formats.js";
import { checkLengths, type Fields, lengthOf } from "./parts.js";
import { translated, Untranslatable } from "./patterns.js";
import { type Path, unenforceable, wrong } from "./refusal.js";

export function stringKeywords(schema: Fields, path: Path): Record<string, unknown> {
  const minLength = lengthOf(schema, "minLength", path);
  const maxLength = lengthOf(schema, "maxLength", path);
  checkLengths(minLength, maxLength, ["minLength", "maxLength"], path);
  if ((minLength ?? 0) > limits.schemaLengthMinMax)
    wrong([...path, "minLength"], `must be at most ${limits.schemaLengthMinMax}`);
  const patterns: string[] = [];
  if (schema.pattern !== undefined) patterns.push(patternOf(schema.pattern, [...path, "pattern"]));
  if (schema.format !== undefined) patterns.push(...formatOf(schema.format, [...path, "format"]));
  const [first, ...others] = patterns;
  return {
    ...(minLength !== undefined && { minLength }),
    ...(maxLength !== undefined && { maxLength: Math.min(maxLength, limits.schemaLengthMaxMax) }),
    ...(first !== undefined && { pattern: first }),
    ...(others.length > 0 && {
      allOf: others.map((pattern) => ({ pattern })),
    }),
  };
}

function formatOf(value: unknown, path: Path): readonly string[] {
  if (typeof value !== "string") wrong(path, "must be a string");
  if (Object.hasOwn(formats, value)) return formats[value]!;
  unenforceable(path, `the formats are ${Object.keys(formats).join(", ")}`);
}

/** As the grammars' library reads it. */
export function patternOf(value: unknown, path: Path): string {
  if (typeof value !== "string") wrong(path, "must be a string");
  if (value.length > limits.patternCharsMax)
    wrong(path, `must have at most ${limits.patternCharsMax} characters`);
  try {
    return translated(value);
  } catch (error) {
    if (!(error instanceof Untranslatable)) throw error;
    unenforceable(path, error.message);
  }
}
