/**
 * The text of a key file. One key a line, or its hash, and then what is known of it; `#` starts a comment:
 *
 *     sha256:9f86…  name=alice  requests-per-minute=60  expires=2030-01-31
 *
 * A line that is a key and nothing else is a key without limits. Reads, and touches no file.
 */

import { didYouMean } from "../nearest.js";
import { hashOf, type KeyEntry, KeyMistake, nameFrom } from "./entry.js";
import { fields } from "./fields.js";

export const keysMax = 1000;

const printable = /^[\x21-\x7e]{1,1024}$/;
const hashed = /^sha256:([0-9a-f]{64})$/i;

export interface KeyLine {
  /** Counted from 1. */
  line: number;
  entry: KeyEntry;
  /** Undefined: the file has its hash alone. */
  secret: string | undefined;
}

/** Throws KeyMistake, which says where. */
export function parseKeys(text: string): KeyLine[] {
  const found: KeyLine[] = [];
  for (const [index, content] of text.split(/\r?\n/).entries()) {
    const words = content
      .replace(/^\uFEFF/, "")
      .replace(/#.*/, "")
      .trim()
      .split(/\s+/);
    if (words[0] === "") continue;
    const read = readLine(words as [string, ...string[]], index + 1);
    if (isAnother(read, words.length > 1, found)) found.push(read);
    if (found.length > keysMax)
      throw new KeyMistake(`there are more than ${keysMax} keys.`, read.line, null);
  }
  if (found.length === 0) throw new KeyMistake("it holds no key; write one a line.", 0, null);
  return found;
}

function readLine([first, ...words]: [string, ...string[]], line: number): KeyLine {
  const { hash, secret } = readKey(first, line);
  const entry: KeyEntry = { name: nameFrom(hash), hash, limits: {} };
  const seen = new Set<string>();
  for (const word of words) {
    const [name, { limits, ...rest }] = readField(word, line);
    if (seen.has(name)) throw new KeyMistake("it stands there twice.", line, name);
    seen.add(name);
    Object.assign(entry, rest);
    Object.assign(entry.limits, limits);
  }
  return { line, entry, secret };
}

function readKey(word: string, line: number): { hash: Buffer; secret: string | undefined } {
  const hex = hashed.exec(word)?.[1];
  if (hex !== undefined) return { hash: Buffer.from(hex, "hex"), secret: undefined };
  if (word.startsWith("sha256:"))
    throw new KeyMistake("a hash is sha256: and 64 hexadecimal digits.", line, "key");
  if (!printable.test(word))
    throw new KeyMistake("a key is at most 1,024 printable ASCII characters.", line, "key");
  // Lines that begin with a field lack their key.
  const name = /^([a-z-]+)=/.exec(word)?.[1];
  if (name !== undefined && Object.hasOwn(fields, name))
    throw new KeyMistake("the key, or its hash, comes before its fields.", line, name);
  return { hash: hashOf(word), secret: word };
}

function readField(word: string, line: number): [name: string, read: Partial<KeyEntry>] {
  // It may be the second half of a key: never repeated.
  const [, name = "", value = ""] = /^([A-Za-z-]{1,40})=(.*)$/.exec(word) ?? [];
  if (name === "") throw new KeyMistake("after the key come fields: name=value.", line, null);
  const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (field === undefined) {
    const known = Object.keys(fields);
    const what = `there is no such field; there are ${known.join(", ")}.`;
    throw new KeyMistake(`${what}${didYouMean(name, known)}`, line, name);
  }
  const read = field.read(value);
  if (read === undefined) throw new KeyMistake(`it must be ${field.expected}.`, line, name);
  return [name, read];
}

/** Throws where two lines are about one key or one name, unless both say nothing. */
function isAnother(read: KeyLine, saysMore: boolean, found: readonly KeyLine[]): boolean {
  const { line, entry } = read;
  const same = found.find((other) => other.entry.hash.equals(entry.hash));
  if (same !== undefined) {
    if (!saysMore) return false;
    throw new KeyMistake(`this key stands on line ${same.line} already.`, line, "key");
  }
  const namesake = found.find((other) => other.entry.name === entry.name);
  if (namesake === undefined) return true;
  throw new KeyMistake(`line ${namesake.line} has this name already.`, line, "name");
}
