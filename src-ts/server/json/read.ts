/**
 * JSON from outside: valid UTF-8, valid JSON, no deeper and with no more values than allowed, every
 * string well-formed Unicode. Whoever takes strings that have come through here may trust them.
 */
import { isUtf8 } from "node:buffer";
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import { notJson } from "../../json-fault.js";
import { exactIntegers } from "../../protocol/fields.js";
import { shown } from "../validation/shown.js";
import { membersOf, sourceOf } from "./members.js";
import { type JsonLimits, scan } from "./scan.js";

export interface Json {
  value: unknown;
  /** Why the value can't be used, though it can be read: an answer may still repeat its ids. */
  fault: ServingError | undefined;
}

/** Throws 400 `invalid_json`; the message never repeats a string of the text. A byte order mark is passed over. */
export function readJson(text: Buffer, limits: JsonLimits): Json {
  const bytes = withoutMark(text);
  if (!isUtf8(bytes)) throw invalid("The text is not valid UTF-8.");
  const { loneSurrogateAt } = scan(bytes, limits);
  const value = parsed(bytes);
  if (loneSurrogateAt !== undefined) return { value, fault: malformedText(bytes, loneSurrogateAt) };
  if (mentionsPrototype(bytes) && hasPrototype(value)) return { value, fault: unknownPrototype() };
  restoreExactIntegers(value, bytes);
  return { value, fault: undefined };
}

/** The same for whoever needs no part of a value with a fault: throws that too. */
export function parseJson(text: Buffer, limits: JsonLimits): unknown {
  const { value, fault } = readJson(text, limits);
  if (fault !== undefined) throw fault;
  return value;
}

const mark = Buffer.from("\ufeff");

function withoutMark(text: Buffer): Buffer {
  return text.subarray(0, mark.length).equals(mark) ? text.subarray(mark.length) : text;
}

function parsed(bytes: Buffer): unknown {
  if (bytes.length === 0) throw invalid("The text is empty; it must be JSON.");
  const text = bytes.toString();
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalid(notJson("The text", text, error));
  }
}

/** Half a surrogate pair is no character: no tokenizer takes it, and no UTF-8 holds it. */
function malformedText(bytes: Buffer, at: number): ServingError {
  let param: string | null = null;
  for (const { name, start, end } of membersOf(bytes))
    if (start <= at && at < end) param = shown(name);
  const what = "A string holds half of a surrogate pair, which is no Unicode text.";
  const message = param === null ? what : `${param}: ${what}`;
  return failure("invalid_unicode", { message, param });
}

/** A number of JavaScript's has 53 bits; where a field may have more, its digits are read again. */
function restoreExactIntegers(value: unknown, bytes: Buffer): void {
  if (typeof value !== "object" || value === null) return;
  const fields = value as Record<string, unknown>;
  for (const name of exactIntegers) {
    const rounded = fields[name];
    // Infinite with more than 309 digits, so that there is a bound to what is read again.
    if (!Number.isInteger(rounded) || Number.isSafeInteger(rounded)) continue;
    const source = sourceOf(bytes, name);
    if (source !== undefined && /^-?[0-9]+$/.test(source)) fields[name] = BigInt(source);
  }
}

/** Perhaps only in a text; an underscore may be written as an escape. */
function mentionsPrototype(bytes: Buffer): boolean {
  return ["__proto__", "\\u005f", "\\u005F"].some((name) => bytes.includes(name));
}

/** Schemas skip a field of this name in silence; here every unknown field is an error. */
function hasPrototype(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.hasOwn(value, "__proto__") || Object.values(value).some(hasPrototype);
}

function unknownPrototype(): ServingError {
  return failure("unknown_parameter", { param: "__proto__" });
}

function invalid(message: string): ServingError {
  return failure("invalid_json", { message });
}
