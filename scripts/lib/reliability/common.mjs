/** What the measurements of reliability share. */
import { medianOf } from "../statistics.mjs";

/** Options of `serve` for an engine, as a user would have it. */
export function flagsOf(engine) {
  return ["--engine", engine, "--log-level", "warn"];
}

/** Median, extremes and all values, rounded. */
export function spreadOf(values, digits = 1) {
  const round = (value) => Number(value.toFixed(digits));
  return {
    median: round(medianOf(values)),
    min: round(Math.min(...values)),
    max: round(Math.max(...values)),
    rounds: values.map(round),
  };
}
