/**
 * The bytes of a segment: a line that names the format, then frames, little-endian: magic u32, length
 * u32, crc32 u32, payload. The checksum covers length and payload and begins at the segment's salt,
 * which stands in its name: what a client made us store can't pass for a frame. Pure.
 */
import { crc32 } from "../encoding/crc32.js";

/**
 * Of frames, and of what a record may be at all: raised when nothing of a segment could be read right by the
 * version before. What a record says is versioned in `records.ts`.
 */
export const formatVersion = 1;
const formatLine = `mlx-serving journal ${formatVersion}\n`;
const formatPattern = /^mlx-serving journal (\d+)\n/;
/** Nobody's format line is longer. */
const formatLineBytesMax = 64;

const magic = 0x4c4a_5853;
const magicBytes = Buffer.from([0x53, 0x58, 0x4a, 0x4c]);
const headerBytes = 12;

export function segmentStart(): Buffer {
  return Buffer.from(formatLine);
}

export function encodeFrame(payload: Uint8Array, salt: number): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + payload.length);
  frame.writeUInt32LE(magic, 0);
  frame.writeUInt32LE(payload.length, 4);
  frame.set(payload, headerBytes);
  frame.writeUInt32LE(checksum(frame, payload.length, salt), 8);
  return frame;
}

/** Bytes that are no frame, between or behind frames. */
export interface Damage {
  offset: number;
  bytes: number;
}

export interface Scan {
  payloads: Buffer[];
  damages: Damage[];
  /** Where the last good frame ends. */
  goodBytes: number;
}

/** The version in a segment's first line; undefined if there is none to read. */
export function versionOf(segment: Buffer): number | undefined {
  const start = segment.toString("latin1", 0, formatLineBytesMax);
  const version = formatPattern.exec(start)?.[1];
  return version === undefined ? undefined : Number(version);
}

/** Every frame that is whole, whatever lies between them. */
export function scan(segment: Buffer, salt: number): Scan {
  const payloads: Buffer[] = [];
  const damages: Damage[] = [];
  let good = versionOf(segment) === formatVersion ? formatLine.length : 0;
  let at = good;
  while (at < segment.length) {
    const payload = frameAt(segment, at, salt);
    if (payload !== undefined) {
      if (at > good) damages.push({ offset: good, bytes: at - good });
      payloads.push(payload);
      at += headerBytes + payload.length;
      good = at;
      continue;
    }
    const next = segment.indexOf(magicBytes, at + 1);
    at = next === -1 ? segment.length : next;
  }
  if (at > good) damages.push({ offset: good, bytes: at - good });
  return { payloads, damages, goodBytes: good };
}

function frameAt(segment: Buffer, at: number, salt: number): Buffer | undefined {
  if (at + headerBytes > segment.length || segment.readUInt32LE(at) !== magic) return undefined;
  const length = segment.readUInt32LE(at + 4);
  const end = at + headerBytes + length;
  if (end > segment.length) return undefined;
  const frame = segment.subarray(at, end);
  if (checksum(frame, length, salt) !== frame.readUInt32LE(8)) return undefined;
  return frame.subarray(headerBytes);
}

function checksum(frame: Buffer, length: number, salt: number): number {
  const overLength = crc32(frame.subarray(4, 8), salt);
  return crc32(frame.subarray(headerBytes, headerBytes + length), overLength);
}
