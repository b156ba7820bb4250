/** Token ids as bytes, on the link and on disk: little-endian u32. */

const tokenBytes = 4;

export function packTokens(tokens: ArrayLike<number>): Uint8Array {
  const packed = Buffer.allocUnsafe(tokens.length * tokenBytes);
  for (let i = 0; i < tokens.length; i++) packed.writeUInt32LE(tokens[i]!, i * tokenBytes);
  return packed;
}

/** Whether these bytes are token ids, and no part of one. */
export function areTokens(bytes: Uint8Array): boolean {
  return bytes.length % tokenBytes === 0;
}

/** Of bytes that are token ids. */
export function unpackTokens(bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tokens = new Uint32Array(bytes.length / tokenBytes);
  for (let i = 0; i < tokens.length; i++) tokens[i] = view.getUint32(i * tokenBytes, true);
  return tokens;
}
