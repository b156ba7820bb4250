/** msgpack as Python writes and reads it: maps with names, no extension of the library's own. */
import { Packr, Unpackr } from "msgpackr";

// `skipValues` is documented but not typed: an undefined field is a field that isn't there.
const options = { useRecords: false, variableMapSize: true, skipValues: [undefined] };
const packer = new Packr(options);

export function pack(value: unknown): Buffer {
  return packer.pack(value);
}

/** `int64AsType`: what becomes of integers that a number of JavaScript's may not hold. */
export function unpackerOf(int64AsType: "number" | "bigint"): Unpackr {
  return new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType });
}
