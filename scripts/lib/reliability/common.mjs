/** What the measurements of reliability share. */

/** Options of `serve` for an engine, as a user would have it. */
export function flagsOf(engine) {
  return ["--engine", engine, "--log-level", "warn"];
}

/** Median, extremes and all values, rounded. */
export function spreadOf(values, digits = 1) {
  const round = (value) => Number(value.toFixed(digits));
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
  const [min, max] = [sorted[0], sorted.at(-1)];
  return {
    ...{ median: round(median), min: round(min), max: round(max) },
    rounds: values.map(round),
  };
}
