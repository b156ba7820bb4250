/**
 * Bounds of numbers. A grammar writes decimals, and whoever reads them has doubles: every number is kept
 * where the two agree, whole ones exact and fractions to 15 digits, and is written without an exponent.
 */
import { type Path, unenforceable, wrong } from "./refusal.js";

/** Whole numbers that a double holds exactly. */
const wholeMax = Number.MAX_SAFE_INTEGER;
/** Digits that every double keeps. */
const digitsMax = 15;
const fractionMax = 10 ** digitsMax - 1;
/** Digits after the point of what a number must be a multiple of. */
const stepDigitsMax = 9;
/** Its digits as a whole number are at most so many: a grammar counts to it. */
const stepMax = 10_000;
/** Multiples of a fraction are at most so many steps from 0, so that doubles tell them from their neighbours. */
const stepsMax = 10 ** 12;
/** Digits before the point, where a bound excludes its own value and nothing bounds the other side. */
const openDigits = 9;

export const numberKeywords = [
  "minimum",
  "maximum",
  "exclusiveMinimum",
  "exclusiveMaximum",
  "multipleOf",
] as const;

type Bounds = Partial<Record<(typeof numberKeywords)[number], number>>;

export function isKeptExactly(value: number): boolean {
  return Math.abs(value) <= (Number.isInteger(value) ? wholeMax : fractionMax);
}

/** The bounds that a grammar is given. Throws 400 for those that leave no number. */
export function numberBounds(
  schema: Readonly<Record<string, unknown>>,
  isWhole: boolean,
  path: Path,
): Bounds {
  const given = read(schema, path);
  // A whole number of steps to 1: every whole number is a multiple.
  if (isWhole && Number.isInteger(1 / (given.multipleOf ?? 0))) delete given.multipleOf;
  const step = given.multipleOf;
  const largest = isWhole ? wholeMax : fractionMax;
  const isExclusive = given.exclusiveMinimum !== undefined || given.exclusiveMaximum !== undefined;
  const digits = isExclusive && !isWhole ? digitsBeforePoint(given) : undefined;
  const limit = Math.min(
    largest,
    step === undefined || Number.isInteger(step) ? largest : Math.floor(stepsMax * step),
    digits === undefined ? largest : 10 ** digits - 1,
  );
  const bounds: Bounds = {
    ...given,
    minimum: Math.max(given.minimum ?? -limit, -limit),
    maximum: Math.min(given.maximum ?? limit, limit),
  };
  if (digits !== undefined && step === undefined)
    bounds.multipleOf = Number(`1e-${Math.min(stepDigitsMax, digitsMax - digits)}`);
  checkRoom(bounds, isWhole, path);
  return bounds;
}

function read(schema: Readonly<Record<string, unknown>>, path: Path): Bounds {
  const bounds: Bounds = {};
  for (const keyword of numberKeywords) {
    const value = schema[keyword];
    if (value === undefined) continue;
    if (typeof value !== "number") wrong([...path, keyword], "must be a number");
    if (keyword === "multipleOf" && !(value > 0)) wrong([...path, keyword], "must be above 0");
    bounds[keyword] = value;
  }
  const { multipleOf } = bounds;
  if (multipleOf !== undefined && !isDecimal(multipleOf))
    unenforceable(
      [...path, "multipleOf"],
      `its digits must make a number of at most ${stepMax}, ${stepDigitsMax} of them after the point`,
    );
  return bounds;
}

function isDecimal(step: number): boolean {
  const digits = step.toFixed(stepDigitsMax).replace(/0+$/, "");
  return Number(digits) === step && Number(digits.replace(/[.]$/, "").replace(".", "")) <= stepMax;
}

function digitsBeforePoint(given: Bounds): number {
  const low = given.minimum ?? given.exclusiveMinimum;
  const high = given.maximum ?? given.exclusiveMaximum;
  const size = Math.max(Math.abs(low ?? 0), Math.abs(high ?? 0));
  const needed = Math.max(1, Math.floor(size).toFixed(0).length);
  const isClosed = low !== undefined && high !== undefined;
  return Math.min(digitsMax, isClosed ? needed : Math.max(needed, openDigits));
}

function checkRoom(bounds: Bounds, isWhole: boolean, path: Path): void {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = bounds;
  const low = Math.max(minimum!, exclusiveMinimum ?? Number.NEGATIVE_INFINITY);
  const high = Math.min(maximum!, exclusiveMaximum ?? Number.POSITIVE_INFINITY);
  const isOpen = low === exclusiveMinimum || high === exclusiveMaximum;
  const nearest = isWhole ? Math.ceil(low) : low;
  if (low > high || (low === high && isOpen) || nearest > high)
    wrong(
      path,
      `leaves no number between its bounds, which are kept within ±${isWhole ? wholeMax : fractionMax}`,
    );
}
