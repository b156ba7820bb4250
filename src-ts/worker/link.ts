/**
 * Frames on the link: magic u16, version u8, type u8, epoch u32, length u32, crc32 u32 (all
 * little-endian), then msgpack. Owns framing and validation; knows nothing of processes or meaning.
 * Anything unexpected from a worker is a `LinkViolation`: the link is broken for good (why, and why not the
 * other way round: docs/decisions/0013). What can't be sent is an `UnsendableMessage`: nothing has happened.
 */

import { crc32 } from "../encoding/crc32.js";
import * as msgpack from "../encoding/msgpack.js";
import * as tokens from "../encoding/tokens.js";
import {
  type FromWorker,
  type FromWorkerName,
  fromWorker,
  fromWorkerTypes,
  Said,
  type StepRow,
  TokenLogprob,
  type ToWorker,
  toWorkerTypes,
} from "./messages.js";

export const frameMagic = 0x4d58;
export const frameVersion = 1;
export const frameHeaderBytes = 16;
/**
 * Longest payload of a frame, in both directions: a body of 32 MiB as a `prepare`, whatever its wrapping
 * adds. The worker has the same (`PAYLOAD_BYTES_MAX` in link/frames.py).
 */
export const frameBytesMax = 40 * 1024 * 1024;

export class LinkViolation extends Error {
  override readonly name = "LinkViolation";
}

/** A message that no frame can carry: what it says is at fault, and the link is as well as before. */
export class UnsendableMessage extends Error {
  override readonly name = "UnsendableMessage";

  constructor(
    readonly code: "invalid_request" | "request_too_large",
    message: string,
  ) {
    super(message);
  }
}

const unpacker = msgpack.unpackerOf("number");

/** One frame, ready to be written. Throws UnsendableMessage. */
export function encodeFrame(message: ToWorker, epoch: number): Buffer {
  const { type, ...body } = message;
  return encodeRaw(toWorkerTypes[type], epoch, body);
}

/** For the tests that play the worker's part. */
export function encodeRaw(type: number, epoch: number, body: unknown): Buffer {
  const payload = pack(body);
  if (payload.length > frameBytesMax)
    throw new UnsendableMessage(
      "request_too_large",
      `${payload.length} bytes; a worker takes ${frameBytesMax} at once`,
    );
  const frame = Buffer.allocUnsafe(frameHeaderBytes + payload.length);
  frame.writeUInt16LE(frameMagic, 0);
  frame.writeUInt8(frameVersion, 2);
  frame.writeUInt8(type, 3);
  frame.writeUInt32LE(epoch >>> 0, 4);
  frame.writeUInt32LE(payload.length, 8);
  frame.writeUInt32LE(crc32(payload), 12);
  payload.copy(frame, frameHeaderBytes);
  return frame;
}

// Values of the caller's own making can hold what has no form in msgpack, or no end.
function pack(body: unknown): Buffer {
  try {
    return msgpack.pack(body);
  } catch (error) {
    const reason = (error as Error).name;
    throw new UnsendableMessage("invalid_request", `it can't be written for a worker (${reason})`);
  }
}

const namesByType = new Map<number, FromWorkerName>(
  Object.entries(fromWorkerTypes).map(([name, type]) => [type, name as FromWorkerName]),
);

/** Cuts a byte stream into messages of one epoch. Frames of another epoch are counted and dropped. */
export class FrameDecoder {
  /** Frames dropped because they were of another epoch. */
  stale = 0;
  private rest: Buffer = Buffer.alloc(0);
  private broken = false;

  constructor(
    private readonly epoch: number,
    private readonly receive: (message: FromWorker) => void,
  ) {}

  /** Of a frame that is not whole yet. */
  get heldBytes(): number {
    return this.rest.length;
  }

  /** Throws LinkViolation; after that every further call throws too. */
  push(chunk: Buffer): void {
    if (this.broken) throw new LinkViolation("the link is broken already");
    let data = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    try {
      let taken = this.take(data);
      while (taken > 0) {
        data = data.subarray(taken);
        taken = this.take(data);
      }
    } catch (error) {
      this.broken = true;
      this.rest = Buffer.alloc(0);
      throw error;
    }
    this.rest = data;
  }

  /** Bytes used up, 0 when the frame is not whole yet. */
  private take(data: Buffer): number {
    if (data.length < frameHeaderBytes) {
      if (data.length >= 2) checkMagic(data);
      return 0;
    }
    checkMagic(data);
    if (data[2] !== frameVersion) throw new LinkViolation(`frame version ${data[2]} is unknown`);
    const length = data.readUInt32LE(8);
    if (length > frameBytesMax)
      throw new LinkViolation(`frame of ${length} bytes; the most is ${frameBytesMax}`);
    const end = frameHeaderBytes + length;
    if (data.length < end) return 0;
    const payload = data.subarray(frameHeaderBytes, end);
    if (crc32(payload) !== data.readUInt32LE(12)) throw new LinkViolation("wrong checksum");
    const name = namesByType.get(data[3]!);
    if (name === undefined) throw new LinkViolation(`frame type ${data[3]} is unknown`);
    if (data.readUInt32LE(4) !== this.epoch) this.stale++;
    else this.receive(parseMessage(name, unpack(payload)));
    return end;
  }
}

function checkMagic(data: Buffer): void {
  if (data.readUInt16LE(0) !== frameMagic) throw new LinkViolation("wrong magic number");
}

function unpack(payload: Buffer): unknown {
  try {
    return unpacker.unpack(payload);
  } catch (error) {
    throw new LinkViolation(`payload is not msgpack: ${(error as Error).message}`);
  }
}

function parseMessage(name: FromWorkerName, body: unknown): FromWorker {
  if (name === "step") return checkStep(body);
  const parsed = fromWorker[name].safeParse(body);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new LinkViolation(`${name}.${issue?.path.join(".")}: ${issue?.message}`);
  }
  return { type: name, ...parsed.data } as FromWorker;
}

// By hand and not by schema: thousands of rows a second pass here.
function checkStep(body: unknown): FromWorker {
  const { step, rows } = (body ?? {}) as { step?: unknown; rows?: unknown };
  if (!isCount(step) || !Array.isArray(rows)) throw new LinkViolation("step: not a step");
  for (const row of rows) {
    const whole =
      Array.isArray(row) &&
      isCount(row[0]) &&
      isCount(row[1]) &&
      isCount(row[2]) &&
      (typeof row[3] === "string" || Said.safeParse(row[3]).success) &&
      (row[4] === undefined || row[4] === null || TokenLogprob.safeParse(row[4]).success);
    if (!whole) throw new LinkViolation("step.rows: not a row");
  }
  return { type: "step", step, rows: rows as StepRow[] };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= 0xffff_ffff && Number.isInteger(value);
}

/** Token ids of a message. */
export function unpackTokens(bytes: Uint8Array): Uint32Array {
  if (tokens.areTokens(bytes)) return tokens.unpackTokens(bytes);
  throw new LinkViolation("token ids: length is no multiple of 4");
}
