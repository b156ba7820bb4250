/** Numbers as a table has them: three digits that count, in the unit that people read. */
import { medianOf } from "../../lib/statistics.mjs";

const mib = 1 << 20;

/**
 * @param {number} value
 * @param {string} unit
 * @returns {string}
 */
export function formatValue(value, unit) {
  switch (unit) {
    case "ms":
      return value >= 1_000 ? `${digits(value / 1_000)} s` : `${digits(value)} ms`;
    case "bytes":
      return `${digits(value / mib)} MiB`;
    case "ratio":
      return `${digits(value)} ×`;
    default:
      return digits(value);
  }
}

/** `120 ms (110 ms to 130 ms)`; without the spread where there was one round. */
export function formatSpread({ median, min, max, rounds }, unit) {
  const value = formatValue(median, unit);
  return rounds.length < 2
    ? value
    : `${value} (${formatValue(min, unit)} to ${formatValue(max, unit)})`;
}

/** How many times better ours is: above 1, whether more or less of the figure is better. */
export function timesBetter(ratio, better) {
  if (better === "more") return ratio;
  const rounds = ratio.rounds.map((value) => 1 / value);
  return { median: medianOf(rounds), min: Math.min(...rounds), max: Math.max(...rounds), rounds };
}

/** Three digits that count, at most two behind the point. */
export function digits(value) {
  const size = Math.abs(value);
  const behind = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  const [whole, rest] = value.toFixed(behind).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return rest === undefined ? grouped : `${grouped}.${rest}`;
}
