/** From the rounds of a case to what is told of it: figures with their spread, ratios, failures. */
import { spreadOf } from "../lib/reliability/common.mjs";

const digits = 4;

/**
 * @typedef {{ median: number, min: number, max: number, rounds: number[] }} Spread
 *
 * @typedef {{
 *   reason?: string,
 *   figures: Record<string, Spread>,
 *   requests: number,
 *   failures: Record<string, number>,
 *   completionTokens: number,
 *   promptTokens: number,
 *   withoutUsage: number,
 *   peakMemoryBytes: number | null,
 * }} Cell What one server showed in one case; `reason`: why there is nothing.
 *
 * @typedef {{
 *   id: string,
 *   title: string,
 *   light: boolean,
 *   figures: import("./scenarios/common.mjs").Figure[],
 *   servers: Record<string, Cell>,
 *   ratios: Record<string, Record<string, Spread>>,
 * }} MeasuredCase By ids of servers; `ratios`: ours to each other's.
 *
 * @typedef {{
 *   id: string,
 *   about: string,
 *   rounds: number,
 *   cases: MeasuredCase[],
 *   busyBefore: number,
 *   loadAverage: number,
 * }} Measured A scenario; `busyBefore`: the share of the processors that other work had.
 */

/** Of a server that could not take part. @returns {Cell} */
export const absent = (reason) => ({
  reason,
  ...{
    figures: {},
    requests: 0,
    failures: {},
    completionTokens: 0,
    promptTokens: 0,
    withoutUsage: 0,
  },
  peakMemoryBytes: null,
});

/**
 * @param {readonly import("./scenarios/common.mjs").Outcome[]} rounds
 * @param {number | null} peakMemoryBytes
 * @param {import("./toolkit.mjs").Toolkit} toolkit
 * @returns {Cell}
 */
export function cellOf(rounds, peakMemoryBytes, toolkit) {
  const records = rounds.flatMap((round) => round.records);
  const summary = toolkit.summarize(records, 1);
  const { requests, succeeded, failures, completionTokens, promptTokens, withoutUsage } = summary;
  const cell = { figures: figuresOf(rounds), requests, failures, completionTokens };
  Object.assign(cell, { promptTokens: Math.round(promptTokens), withoutUsage, peakMemoryBytes });
  const reason = reasonOf(requests, succeeded, failures, withoutUsage, cell.figures);
  return reason === undefined ? cell : { reason, ...cell };
}

function reasonOf(requests, succeeded, failures, withoutUsage, figures) {
  if (succeeded === 0) {
    const kinds = Object.entries(failures).map(([kind, count]) => `${count} × ${kind}`);
    return `none of ${requests} requests succeeded: ${kinds.join(", ")}`;
  }
  if (Object.keys(figures).length > 0) return undefined;
  return withoutUsage === succeeded ? "its streams have no usage" : "no text came";
}

/** Rounds in which a figure could not be had are left out of it. */
function figuresOf(rounds) {
  const names = [...new Set(rounds.flatMap(({ figures }) => Object.keys(figures)))];
  return Object.fromEntries(
    names.flatMap((name) => {
      const values = rounds.flatMap(({ figures }) => figures[name] ?? []);
      return values.length === 0 ? [] : [[name, spreadOf(values, digits)]];
    }),
  );
}

/**
 * Ours to another's, round by round, as they were measured side by side.
 * @param {readonly import("./scenarios/common.mjs").Outcome[]} ours
 * @param {readonly import("./scenarios/common.mjs").Outcome[]} theirs
 * @returns {Record<string, Spread>}
 */
export function ratiosOf(ours, theirs) {
  const pairs = ours.map((outcome, round) => ({
    figures: Object.fromEntries(
      Object.entries(outcome.figures).map(([name, value]) => {
        const other = theirs[round]?.figures[name];
        return [name, value > 0 && other > 0 ? value / other : undefined];
      }),
    ),
  }));
  return figuresOf(pairs);
}
