/** From a failed schema to one error that names the field; it never repeats a value. */
import type { z } from "zod";
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import { isNotSupported } from "../../protocol/fields.js";
import { complaint } from "./complaints.js";
import { shown } from "./shown.js";

type Issue = z.core.$ZodIssue;
/** With its whole path, and what the body has there. */
type Placed = Issue & { found: unknown };

/** Throws 400 with `param`. What is not supported is said before what is merely wrong. */
export function validate<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value, { error: complaint });
  if (result.success) return result.data;
  const issues = result.error.issues.map((issue) => innermost(issue, [], value));
  const [first] = issues.toSorted((a, b) => rank(a) - rank(b));
  throw toError(first!);
}

function rank(issue: Placed): number {
  if (isNotSupported(issue.message) && !isMissing(issue)) return 0;
  return issue.code === "unrecognized_keys" ? 2 : 1;
}

/** Of a union that failed, the complaint of the branch that was meant. */
function innermost(issue: Issue, prefix: readonly PropertyKey[], body: unknown): Placed {
  const path = [...prefix, ...issue.path];
  const meant = issue.code === "invalid_union" ? branchMeant(issue.errors) : undefined;
  if (meant === undefined) return { ...issue, path, found: valueAt(body, path) };
  const inside = meant.map((inner) => innermost(inner, path, body));
  return inside.toSorted((a, b) => rank(a) - rank(b))[0]!;
}

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, step) => (at as Record<PropertyKey, unknown> | null)?.[step],
    body,
  );
}

/** A field that isn't there: whatever its schema says of a wrong one. */
function isMissing({ code, path, found }: Placed): boolean {
  return found === undefined && path.length > 0 && code !== "unrecognized_keys";
}

/** A branch that wants another type at this very place was not meant; of the rest the one least wrong. */
function branchMeant(branches: readonly (readonly Issue[])[]): readonly Issue[] | undefined {
  const isOtherType = ({ code, path }: Issue) =>
    path.length === 0 && (code === "invalid_type" || code === "custom");
  return branches
    .filter((branch) => branch.length > 0 && !branch.some(isOtherType))
    .toSorted((a, b) => a.length - b.length)[0];
}

function toError(issue: Placed): ServingError {
  if (issue.code === "unrecognized_keys") {
    const param = paramOf([...issue.path, issue.keys[0] ?? ""]);
    return failure("unknown_parameter", { param });
  }
  const param = paramOf(issue.path);
  if (isMissing(issue)) return failure("missing_parameter", { param });
  if (isNotSupported(issue.message)) {
    const message = unsupportedText(param, issue.message);
    return failure("unsupported_parameter", { message, param });
  }
  const code = issue.code === "invalid_type" ? "invalid_type" : "invalid_value";
  const what = param === "" ? "The request" : param;
  return failure(code, { message: `${what} ${issue.message}.`, param: param || null });
}

/** The field by name, once: before a sentence of its own, or as that sentence's subject. */
function unsupportedText(param: string, said: string): string {
  return said.startsWith("is ") ? `${param} ${said}` : `${param}: ${said}`;
}

/** `messages[0].content`, as OpenAI writes it; a key of the client's is cut and made printable. */
export function paramOf(path: readonly PropertyKey[]): string {
  return path.map((step, index) => paramStep(step, index === 0)).join("");
}

function paramStep(step: PropertyKey, isFirst: boolean): string {
  if (typeof step === "number") return `[${step}]`;
  const name = shown(String(step));
  return isFirst ? name : `.${name}`;
}
