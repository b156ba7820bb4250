/** Values that many fields on disk have. */
import { z } from "zod";

export const count = z.int().min(0);

export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

const tokenBytes = 4;

/** Token ids, four bytes each, little-endian. */
export function isPackedTokens(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.length % tokenBytes === 0;
}

export function unpackedTokens(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const numbers: number[] = [];
  for (let at = 0; at < bytes.length; at += tokenBytes) numbers.push(view.getUint32(at, true));
  return numbers;
}

export const packedTokens = z.custom<Uint8Array>(isPackedTokens, "no token ids");
