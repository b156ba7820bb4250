/** CRC-32 (ISO-HDLC, as in zip and gzip) by whichever implementation this Node has. */
import * as zlib from "node:zlib";
import crc32Table from "crc-32";

type Crc32 = (data: Uint8Array, before?: number) => number;

// zlib.crc32 came with Node 20.15 and 22.2.
const compute: Crc32 = (zlib as { crc32?: Crc32 }).crc32 ?? crc32Table.buf;

/** `before`: of the bytes that came before these; unsigned. */
export function crc32(data: Uint8Array, before = 0): number {
  return compute(data, before) >>> 0;
}
