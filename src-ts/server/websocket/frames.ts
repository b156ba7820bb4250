/**
 * Text frames of RFC 6455, many in one buffer and one write. The sockets negotiate no extension, so
 * `ws` writes its own frames synchronously and never keeps one back: whole frames written beside it
 * cannot land inside another.
 */

const finalText = 0x81;
const length16 = 126;
const length64 = 127;

function headerBytes(payloadBytes: number): number {
  if (payloadBytes < length16) return 2;
  return payloadBytes < 0x1_0000 ? 4 : 10;
}

function writeHeader(frame: Buffer, at: number, payloadBytes: number): number {
  frame[at] = finalText;
  if (payloadBytes < length16) {
    frame[at + 1] = payloadBytes;
    return at + 2;
  }
  if (payloadBytes < 0x1_0000) {
    frame[at + 1] = length16;
    frame.writeUInt16BE(payloadBytes, at + 2);
    return at + 4;
  }
  frame[at + 1] = length64;
  frame.writeBigUInt64BE(BigInt(payloadBytes), at + 2);
  return at + 10;
}

/** One unmasked frame a text, in order. */
export function encodeTextFrames(texts: readonly string[]): Buffer {
  const sizes = new Array<number>(texts.length);
  let total = 0;
  for (let i = 0; i < texts.length; i++) {
    const size = Buffer.byteLength(texts[i]!);
    sizes[i] = size;
    total += headerBytes(size) + size;
  }
  const frames = Buffer.allocUnsafe(total);
  let at = 0;
  for (let i = 0; i < texts.length; i++) {
    at = writeHeader(frames, at, sizes[i]!);
    at += frames.write(texts[i]!, at);
  }
  return frames;
}
