/** Where in the bytes of a valid JSON text the members of its outermost object are. */
import {
  closeArray,
  closeObject,
  colon,
  comma,
  endOfString,
  openArray,
  openObject,
  quote,
} from "./scan.js";

export interface Member {
  name: string;
  /** Of the name's first quote. */
  start: number;
  valueStart: number;
  /** Behind the value. */
  end: number;
}

/** In their order; a name that stands twice comes twice. Nothing if the text is no object. */
export function* membersOf(bytes: Buffer): Generator<Member> {
  let depth = 0;
  let name: string | undefined;
  let start = 0;
  let valueStart = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (depth === 0 && (byte === openArray || byte === quote)) return;
    if (byte === quote) {
      const end = endOfString(bytes, i);
      if (depth === 1 && name === undefined) {
        name = JSON.parse(bytes.toString("utf8", i, end + 1)) as string;
        start = i;
      }
      i = end;
    } else if (byte === colon && depth === 1) valueStart = i + 1;
    else if (byte === openObject || byte === openArray) depth++;
    else if (byte === closeObject || byte === closeArray) depth--;
    const isOver = (byte === comma && depth === 1) || (byte === closeObject && depth === 0);
    if (isOver && name !== undefined) {
      yield { name, start, valueStart, end: i };
      name = undefined;
    }
  }
}

/** The text of the value that a parser gives to `name`: the last one counts. */
export function sourceOf(bytes: Buffer, wanted: string): string | undefined {
  let source: string | undefined;
  for (const { name, valueStart, end } of membersOf(bytes))
    if (name === wanted) source = bytes.toString("utf8", valueStart, end).trim();
  return source;
}
