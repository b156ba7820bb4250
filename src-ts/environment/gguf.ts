/**
 * What a GGUF file says of itself: for lists and reports. Reads its first bytes and no weights; a worker reads all of it. The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { closeSync, openSync, readSync } from "node:fs";

export interface Gguf {
  /** Such as `llama`. */
  architecture?: string;
  name?: string;
}

/** What is said in general comes first; a vocabulary is far longer than this. */
const headBytesMax = 65_536;

const magic = "GGUF";

export function isGguf(path: string): boolean {
  return headOf(path, magic.length).toString("latin1") === magic;
}

/** Undefined: it is none. */
export function readGguf(path: string): Gguf | undefined {
  const head = headOf(path, headBytesMax);
  if (head.toString("latin1", 0, magic.length) !== magic) return undefined;
  const said = new Map<string, string>();
  try {
    collect(new Reader(head), said);
  } catch (error) {
    // Beyond the bytes that were read, or damaged: what has been found is what can be told.
    if (!(error instanceof RangeError)) throw error;
  }
  const architecture = printable(said.get("general.architecture"));
  const name = printable(said.get("general.name"));
  return {
    ...(architecture !== undefined && { architecture }),
    ...(name !== undefined && { name }),
  };
}

function headOf(path: string, bytesMax: number): Buffer {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(bytesMax);
    return bytes.subarray(0, readSync(file, bytes, 0, bytesMax, 0));
  } finally {
    closeSync(file);
  }
}

const shownCharsMax = 80;

/** It goes to a terminal, and anybody may have written it. */
function printable(text: string | undefined): string | undefined {
  return text?.replace(/[^\p{L}\p{N}\p{P}\p{S}\p{Zs}]/gu, "").slice(0, shownCharsMax);
}

const textType = 8;
const arrayType = 9;
/** Bytes of a value, by its type; texts and arrays have their own lengths. */
const sizes: Readonly<Record<number, number>> = {
  ...{ 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4 },
  ...{ 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 },
};

/** All texts, by their keys. Throws RangeError where the bytes end. */
function collect(reader: Reader, said: Map<string, string>): void {
  reader.skip(4);
  // The first version has other lengths.
  if (reader.u32() < 2) return;
  reader.u64();
  for (let left = reader.u64(); left > 0; left--) {
    const key = reader.text();
    const type = reader.u32();
    if (type === textType) said.set(key, reader.text());
    else skipValue(reader, type);
  }
}

function skipValue(reader: Reader, type: number): void {
  if (type === textType) reader.text();
  else if (type === arrayType) {
    const inner = reader.u32();
    for (let left = reader.u64(); left > 0; left--) skipValue(reader, inner);
  } else reader.skip(sizes[type] ?? Number.POSITIVE_INFINITY);
}

/** Little-endian. Throws RangeError past the end. */
class Reader {
  private at = 0;

  constructor(private readonly bytes: Buffer) {}

  skip(count: number): void {
    if (count > this.bytes.length - this.at) throw new RangeError("past the end");
    this.at += count;
  }

  u32(): number {
    const value = this.bytes.readUInt32LE(this.at);
    this.at += 4;
    return value;
  }

  u64(): number {
    const value = this.bytes.readBigUInt64LE(this.at);
    this.at += 8;
    return Number(value);
  }

  text(): string {
    const from = this.at + 8;
    this.skip(this.u64());
    return this.bytes.toString("utf8", from, this.at);
  }
}
