/** From a failed schema to one error that names the field; it never repeats a value. */
import type { z } from "zod";
import { ServingError } from "../errors.js";
import { isNotSupported } from "../protocol/fields.js";

type Issue = z.core.$ZodIssue;

const shownCharsMax = 64;

/** Throws 400 with `param`. What is not supported is said before what is merely wrong. */
export function validate<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues.map((issue) => innermost(issue, []));
  const [first] = issues.toSorted((a, b) => rank(a) - rank(b));
  throw toError(first!);
}

function rank(issue: Issue): number {
  if (isNotSupported(issue.message)) return 0;
  return issue.code === "unrecognized_keys" ? 2 : 1;
}

/** Of a union that failed, the complaint of the branch that got furthest, with its whole path. */
function innermost(issue: Issue, prefix: readonly PropertyKey[]): Issue {
  const path = [...prefix, ...issue.path];
  if (issue.code === "invalid_union") {
    const inside = issue.errors
      .map((branch) => branch.map((inner) => innermost(inner, path)))
      .filter((branch) => branch.some((inner) => inner.path.length > path.length))
      .map((branch) => branch.toSorted((a, b) => rank(a) - rank(b))[0]!)
      .toSorted((a, b) => rank(a) - rank(b));
    if (inside[0] !== undefined) return inside[0];
  }
  return { ...issue, path };
}

function toError(issue: Issue): ServingError {
  if (issue.code === "unrecognized_keys") {
    const param = paramOf([...issue.path, issue.keys[0] ?? ""]);
    return failure("unknown_parameter", `Unknown parameter: ${param}.`, param);
  }
  const param = paramOf(issue.path);
  if (isNotSupported(issue.message)) {
    return failure("unsupported_parameter", `${param}: ${issue.message}`, param);
  }
  const code = issue.code === "invalid_type" ? "invalid_type" : "invalid_value";
  const what = param === "" ? "The request" : param;
  return failure(code, `${what}: ${issue.message.replace(/\.?$/, ".")}`, param);
}

function failure(code: string, message: string, param: string): ServingError {
  return new ServingError(message, { code, status: 400, param: param === "" ? null : param });
}

/** `messages[0].content`, as OpenAI writes it; a key of the client's is cut and made printable. */
function paramOf(path: readonly PropertyKey[]): string {
  return path.map((step, index) => paramStep(step, index === 0)).join("");
}

function paramStep(step: PropertyKey, isFirst: boolean): string {
  if (typeof step === "number") return `[${step}]`;
  const name = String(step)
    .slice(0, shownCharsMax)
    .replace(/[^\x20-\x7e]/g, "?");
  return isFirst ? name : `.${name}`;
}
