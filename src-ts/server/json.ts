/** JSON from outside: valid UTF-8, valid JSON, and no deeper than a limit. */
import { isUtf8 } from "node:buffer";
import { ServingError } from "../errors.js";

const quote = 0x22;
const backslash = 0x5c;
const openArray = 0x5b;
const closeArray = 0x5d;
const openObject = 0x7b;
const closeObject = 0x7d;

/** Arrays and objects inside one another; reads no further once it is past `depthMax`. */
export function deeperThan(bytes: Uint8Array, depthMax: number): boolean {
  let depth = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === quote) i = endOfString(bytes, i);
    else if (byte === openArray || byte === openObject) {
      if (++depth > depthMax) return true;
    } else if (byte === closeArray || byte === closeObject) depth--;
  }
  return false;
}

function endOfString(bytes: Uint8Array, start: number): number {
  for (let i = start + 1; i < bytes.length; i++) {
    if (bytes[i] === backslash) i++;
    else if (bytes[i] === quote) return i;
  }
  return bytes.length;
}

/** Throws 400 `invalid_json`; the message never repeats the text. */
export function parseJson(bytes: Buffer, depthMax: number): unknown {
  if (!isUtf8(bytes)) throw invalid("The text is not valid UTF-8.");
  if (deeperThan(bytes, depthMax)) {
    throw invalid(`The JSON is nested deeper than ${depthMax} levels.`);
  }
  try {
    return JSON.parse(bytes.toString());
  } catch {
    // V8's message quotes the text around the fault, and that may be somebody's prompt.
    throw invalid("The text is not valid JSON.");
  }
}

function invalid(message: string): ServingError {
  return new ServingError(message, { code: "invalid_json", status: 400 });
}
