/** JSON from outside: valid UTF-8, valid JSON, no deeper and with no more values than allowed. */
import { isUtf8 } from "node:buffer";
import { ServingError } from "../errors.js";

const quote = 0x22;
const comma = 0x2c;
const backslash = 0x5c;
const openArray = 0x5b;
const closeArray = 0x5d;
const openObject = 0x7b;
const closeObject = 0x7d;

export interface JsonLimits {
  depthMax: number;
  /** Elements of arrays and entries of objects, all together. */
  valuesMax: number;
}

/** Throws `invalid_json`; reads no further once it is past a limit, and builds nothing. */
export function checkShape(bytes: Uint8Array, { depthMax, valuesMax }: JsonLimits): void {
  let depth = 0;
  let values = 1;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === quote) i = endOfString(bytes, i);
    else if (byte === comma) values++;
    else if (byte === openArray || byte === openObject) {
      values++;
      if (++depth > depthMax) throw invalid(`The JSON is nested deeper than ${depthMax} levels.`);
    } else if (byte === closeArray || byte === closeObject) depth--;
    if (values > valuesMax) throw invalid(`The JSON has more than ${valuesMax} values.`);
  }
}

function endOfString(bytes: Uint8Array, start: number): number {
  for (let i = start + 1; i < bytes.length; i++) {
    if (bytes[i] === backslash) i++;
    else if (bytes[i] === quote) return i;
  }
  return bytes.length;
}

/** Throws 400 `invalid_json`; the message never repeats the text. */
export function parseJson(bytes: Buffer, limits: JsonLimits): unknown {
  if (!isUtf8(bytes)) throw invalid("The text is not valid UTF-8.");
  checkShape(bytes, limits);
  const value = parsed(bytes);
  if (mentionsPrototype(bytes)) refusePrototypes(value);
  return value;
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    // V8's message quotes the text around the fault, and that may be somebody's prompt.
    throw invalid("The text is not valid JSON.");
  }
}

/** Perhaps only in a text; an underscore may be written as an escape. */
function mentionsPrototype(bytes: Buffer): boolean {
  return ["__proto__", "\\u005f", "\\u005F"].some((name) => bytes.includes(name));
}

/** Schemas skip a field of this name in silence; here every unknown field is an error. */
function refusePrototypes(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  if (Object.hasOwn(value, "__proto__")) {
    throw new ServingError("Unknown parameter: __proto__.", {
      code: "unknown_parameter",
      status: 400,
      param: "__proto__",
    });
  }
  for (const inner of Object.values(value)) refusePrototypes(inner);
}

function invalid(message: string): ServingError {
  return new ServingError(message, { code: "invalid_json", status: 400 });
}
