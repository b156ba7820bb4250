/**
 * Compressed bodies. A body is decoded once all of it has arrived, and few are at a time: what a few
 * bytes grow to lies in memory for no longer than it takes to read it.
 */
import type { IncomingHttpHeaders } from "node:http";
import * as zlib from "node:zlib";
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import * as bounds from "../../protocol/limits.js";

/** One layer, its name in lower case. */
export type Encoding = "gzip" | "br" | "deflate" | "zstd";

interface Decoded {
  buffer: Buffer;
  /** `bytesWritten`: how much of the input was taken. */
  engine: { bytesWritten: number };
}

type Decode = (
  body: Buffer,
  options: { maxOutputLength: number; info: true; params?: Record<number, number> },
  done: (error: Error | null, decoded: Decoded) => void,
) => void;

/** Newer than the oldest Node that we run on, and than its types. */
interface Zstd {
  zstdDecompress?: Decode;
  constants: { ZSTD_d_windowLogMax?: number };
}

const { zstdDecompress, constants } = zlib as unknown as Zstd;

/** As RFC 9659 has it: 8 MiB, whatever a frame asks for. */
const zstdWindowLogMax = 23;

const decoders: Readonly<Record<Encoding, Decode | undefined>> = {
  gzip: zlib.gunzip as unknown as Decode,
  br: zlib.brotliDecompress as unknown as Decode,
  deflate: inflateEither,
  zstd:
    zstdDecompress &&
    ((body, options, done) => {
      const params = { [constants.ZSTD_d_windowLogMax!]: zstdWindowLogMax };
      zstdDecompress(body, { ...options, params }, done);
    }),
};

/** The RFC means zlib's format; not every client does. */
function inflateEither(...[body, options, done]: Parameters<Decode>): void {
  const [first = 0, second = 0] = body;
  const isZlib = (first & 0x0f) === 8 && ((first << 8) | second) % 31 === 0;
  const inflate = (isZlib ? zlib.inflate : zlib.inflateRaw) as unknown as Decode;
  inflate(body, options, done);
}

const known = Object.entries(decoders).flatMap(([name, decode]) => (decode ? [name] : []));

/** For `Accept-Encoding`, which tells a client what to send. */
export const acceptedEncodings = known.join(", ");

/** The layers of a body, in the order in which they were put on. Throws 415 that names what is not known. */
export function encodingsOf({ "content-encoding": header }: IncomingHttpHeaders): Encoding[] {
  const names = (header ?? "").split(",").map((name) => name.trim().toLowerCase());
  const layers = names.filter((name) => name !== "" && name !== "identity").map(unprefixed);
  const unknown = layers.find((name) => !known.includes(name));
  if (unknown !== undefined) throw unsupported(`${shownToken(unknown)} is none that`);
  if (layers.length > bounds.contentEncodingsMax)
    throw unsupported(`More than ${bounds.contentEncodingsMax}, one in the other, is more than`);
  return layers as Encoding[];
}

/** What these formats begin with, and no JSON does. */
const beginnings: readonly [Encoding, Buffer][] = [
  ["gzip", Buffer.from("1f8b", "hex")],
  ["zstd", Buffer.from("28b52ffd", "hex")],
];

/** A proxy may have taken the header off: throws 400 that says so, for who would look for a fault in JSON. */
export function refuseUndeclared(body: Buffer): void {
  const found = beginnings.find(([, bytes]) => body.subarray(0, bytes.length).equals(bytes));
  if (found === undefined) return;
  const [layer] = found;
  throw invalid(`The body begins as ${layer} does, and no Content-Encoding says that it is.`);
}

/** `x-gzip` is an old name of `gzip`. */
function unprefixed(name: string): string {
  return name === "x-gzip" ? "gzip" : name;
}

/** A header may hold anything; a token is what it should be. */
function shownToken(name: string): string {
  return name.slice(0, 32).replace(/[^\x21-\x7e]/g, "?");
}

function unsupported(what: string): ServingError {
  return failure("unsupported_encoding", {
    message: `Content-Encoding: ${what} this server decodes; it takes ${acceptedEncodings}.`,
    param: "content-encoding",
  });
}

/** Takes off one layer after another, each within the limit. */
export class BodyDecoder {
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(private readonly bytesMax: number) {}

  /**
   * Calls `use` as soon as the body is decoded, before the next one is. Rejects with 413 for what grows
   * past the limit, with 400 for what is broken, cut short, or followed by anything else.
   */
  async decode<T>(body: Buffer, layers: readonly Encoding[], use: (body: Buffer) => T): Promise<T> {
    await this.turn();
    try {
      let decoded = body;
      for (const layer of layers.toReversed()) decoded = await this.takeOff(layer, decoded);
      return use(decoded);
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.running--;
      else next();
    }
  }

  private async turn(): Promise<void> {
    if (this.running < bounds.decodingsMax) this.running++;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  private takeOff(layer: Encoding, body: Buffer): Promise<Buffer> {
    const options = { maxOutputLength: this.bytesMax, info: true } as const;
    return new Promise((resolve, reject) => {
      decoders[layer]!(body, options, (error, decoded) => {
        if (error !== null) reject(faultOf(layer, error));
        // Whatever comes behind the end is no part of it, and nobody has checked it.
        else if (decoded.engine.bytesWritten !== body.length) reject(broken(layer));
        else resolve(decoded.buffer);
      });
    });
  }
}

function faultOf(layer: Encoding, error: Error): ServingError {
  if ((error as NodeJS.ErrnoException).code !== "ERR_BUFFER_TOO_LARGE") return broken(layer, error);
  return failure("request_too_large");
}

function broken(layer: Encoding, cause?: Error): ServingError {
  return invalid(`The body is not valid ${layer}, or not all of it.`, cause);
}

function invalid(message: string, cause?: Error): ServingError {
  return failure("invalid_encoding", { message, param: "content-encoding", cause });
}
