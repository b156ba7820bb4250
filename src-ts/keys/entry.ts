/**
 * What is known of an API key: its name, its hash, what it may do. Owns the names of the limits. Never holds the
 * key itself.
 */
import { createHash } from "node:crypto";
import type { priorityValues } from "../protocol/fields.js";

export type KeyPriority = (typeof priorityValues)[number];

/** Limits of one key, by their names in the file; absent: none. */
export interface KeyLimits {
  requestsPerMinute?: number;
  tokensPerMinute?: number;
  /** Answers at once. */
  concurrency?: number;
  /** Budgets; days and months are those of UTC. */
  tokensPerDay?: number;
  tokensPerMonth?: number;
  tokensTotal?: number;
}

export const limitNames = [
  "requestsPerMinute",
  "tokensPerMinute",
  "concurrency",
  "tokensPerDay",
  "tokensPerMonth",
  "tokensTotal",
] as const satisfies readonly (keyof KeyLimits)[];
export type LimitName = (typeof limitNames)[number];

/** What of the operator's routes a key may use: all, `/metrics` alone, none. */
export type AdminRight = "yes" | "metrics" | "no";

export interface KeyEntry {
  /** By which operators know it: one that they gave, or one made of the hash. */
  name: string;
  /** SHA-256. */
  hash: Buffer;
  limits: KeyLimits;
  /** Of requests that ask for none. */
  priority?: KeyPriority;
  /** The most that a request gets. */
  priorityMax?: KeyPriority;
  /** Ids and names of models; absent: all. */
  models?: readonly string[];
  /** Wall-clock ms. */
  expiresAt?: number;
  /** Absent: nothing is said. */
  admin?: AdminRight;
}

/** Where keys come from, and that they change while a server runs. */
export interface KeySource {
  /** Never empty where keys are asked for. */
  readonly entries: readonly KeyEntry[];
  /** What the newest form of the file lacks; then `entries` are those of the form before it. */
  readonly mistake: KeyMistake | undefined;
  /** Wall-clock ms of the form in use; undefined: it is in no file. */
  readonly readAt: number | undefined;
  onChange(callback: () => void): void;
}

/** What is wrong in a key file, and where. */
export class KeyMistake extends Error {
  override readonly name = "KeyMistake";
  constructor(
    /** A sentence without the place. */
    readonly what: string,
    /** Counted from 1; 0: the file as a whole. */
    readonly line: number,
    readonly field: string | null,
  ) {
    super(line === 0 ? what : `line ${line}${field === null ? "" : `, ${field}`}: ${what}`);
  }
}

export function hashOf(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

/** Of a key that has no other: says nothing of it that helps to guess it. */
export function nameFrom(hash: Buffer): string {
  return `key-${hash.toString("hex", 0, 4)}`;
}

export function plainEntry(key: string): KeyEntry {
  const hash = hashOf(key);
  return { name: nameFrom(hash), hash, limits: {} };
}

/** Keys that never change. */
export function fixedKeys(keys: readonly string[]): KeySource {
  const entries = keys.map(plainEntry);
  return { entries, mistake: undefined, readAt: undefined, onChange() {} };
}
