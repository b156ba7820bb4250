/** What the keywords of a schema are read with. */
import { type Path, wrong } from "./refusal.js";

export type Fields = Readonly<Record<string, unknown>>;

/** A schema as the grammar is given it. */
export type Out = boolean | Record<string, unknown>;

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** All but those that JSON has a short name for. */
export function hasControlCharacters(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return /[\u0000-\u0007\u000b\u000e-\u001f\u007f]/.test(text);
}

/** A bound of a length, if there is one. */
export function lengthOf(schema: Fields, keyword: string, path: Path): number | undefined {
  const value = schema[keyword];
  if (value === undefined) return undefined;
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    wrong([...path, keyword], "must be a whole number from 0");
  return value as number;
}

/** Throws 400 where nothing has a length. */
export function checkLengths(
  least: number | undefined,
  most: number | undefined,
  [leastName, mostName]: readonly [string, string],
  path: Path,
): void {
  if (least !== undefined && most !== undefined && least > most)
    wrong([...path, leastName], `is more than ${mostName}`);
}
