/**
 * One pass over the bytes of a JSON text before it is parsed: its bounds, and its first escape that is
 * half of a surrogate pair. In valid UTF-8 only an escape can be one. Builds nothing; whether the text
 * is JSON is the parser's to say.
 */
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";

export const quote = 0x22;
export const comma = 0x2c;
export const colon = 0x3a;
const backslash = 0x5c;
const letterU = 0x75;
export const openArray = 0x5b;
export const closeArray = 0x5d;
export const openObject = 0x7b;
export const closeObject = 0x7d;

export interface JsonLimits {
  depthMax: number;
  /** Elements of arrays and entries of objects, all together. */
  valuesMax: number;
}

export interface Findings {
  /** Where in the bytes; undefined: every string is well-formed. */
  loneSurrogateAt: number | undefined;
}

/** Throws `invalid_json`, and reads no further, once it is past a limit. */
export function scan(bytes: Uint8Array, { depthMax, valuesMax }: JsonLimits): Findings {
  const findings: Findings = { loneSurrogateAt: undefined };
  let depth = 0;
  let values = 1;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === quote) i = endOfString(bytes, i, findings);
    else if (byte === comma) values++;
    else if (byte === openArray || byte === openObject) {
      values++;
      if (++depth > depthMax) throw tooMuch(`is nested deeper than ${depthMax} levels`);
    } else if (byte === closeArray || byte === closeObject) depth--;
    if (values > valuesMax) throw tooMuch(`has more than ${valuesMax} values`);
  }
  return findings;
}

/** Where the quote is that ends the string that begins at `start`. */
export function endOfString(bytes: Uint8Array, start: number, findings?: Findings): number {
  for (let i = start + 1; i < bytes.length; i++) {
    if (bytes[i] === backslash) {
      if (bytes[++i] === letterU && findings !== undefined) i = endOfEscape(bytes, i, findings);
    } else if (bytes[i] === quote) return i;
  }
  return bytes.length;
}

const plain = 0;
const high = 1;
const low = 2;

/** `at`: the `u`. A pair is taken in one go, so that a low half is always one that nothing precedes. */
function endOfEscape(bytes: Uint8Array, at: number, findings: Findings): number {
  const half = halfAt(bytes, at + 1);
  if (half === plain) return at;
  const next = at + 5;
  const isPair =
    half === high &&
    bytes[next] === backslash &&
    bytes[next + 1] === letterU &&
    halfAt(bytes, next + 2) === low;
  if (isPair) return next + 5;
  findings.loneSurrogateAt ??= at;
  return at;
}

/** By the first two of four digits: d8 to db and dc to df, in either case. */
function halfAt(bytes: Uint8Array, at: number): number {
  if ((bytes[at]! | 0x20) !== 0x64) return plain;
  const second = bytes[at + 1]! | 0x20;
  if (second === 0x38 || second === 0x39 || second === 0x61 || second === 0x62) return high;
  return second >= 0x63 && second <= 0x66 ? low : plain;
}

function tooMuch(what: string): ServingError {
  return failure("invalid_json", { message: `The JSON ${what}.` });
}
