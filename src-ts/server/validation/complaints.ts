/**
 * What is said of a value that a schema doesn't take: “<field> must be at most 16.” One voice for every
 * kind of complaint; a schema with a sentence of its own says it in the same form.
 */
import type { z } from "zod";

type Raw = z.core.$ZodRawIssue;

const typeNames: Readonly<Record<string, string>> = {
  string: "a string",
  number: "a number",
  int: "an integer",
  boolean: "true or false",
  array: "a list",
  tuple: "a list",
  object: "an object",
  record: "an object",
  null: "null",
};

/** For `safeParse`: what follows the field's name. Undefined leaves it to the library. */
export function complaint(issue: Raw): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      return issue.input === undefined
        ? "is required"
        : `must be ${typeNames[issue.expected] ?? issue.expected}`;
    case "too_big":
      return bound(issue, issue.maximum, "at most", "below");
    case "too_small":
      return bound(issue, issue.minimum, "at least", "above");
    case "invalid_value":
      return `must be ${issue.values.length > 1 ? "one of " : ""}${issue.values.map(String).join(", ")}`;
    case "invalid_key":
      return `as a key ${issue.issues[0]?.message ?? "is wrong"}`;
    case "unrecognized_keys":
      return "is not known";
    default:
      return undefined;
  }
}

/** A bound as people read it. */
export function shown(limit: number | bigint): string {
  return limit.toLocaleString("en");
}

const unitsOf: Readonly<Record<string, string>> = {
  string: "character",
  array: "element",
  tuple: "element",
};

function bound(
  { origin, inclusive }: { origin: string; inclusive?: boolean },
  limit: number | bigint,
  included: string,
  excluded: string,
): string {
  const unit = unitsOf[origin];
  const plural = Number(limit) === 1 ? "" : "s";
  if (unit !== undefined) return `must have ${included} ${shown(limit)} ${unit}${plural}`;
  return `must be ${inclusive === false ? excluded : included} ${shown(limit)}`;
}
