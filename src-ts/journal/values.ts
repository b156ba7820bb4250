/** Values that many fields on disk have. */
import { z } from "zod";
import { areTokens } from "../encoding/tokens.js";

export const count = z.int().min(0);

export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Token ids as bytes. */
export function isPackedTokens(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && areTokens(value);
}

export const packedTokens = z.custom<Uint8Array>(isPackedTokens, "no token ids");
