/** From ratios to verdicts: the rule that was decided before anything was measured. */
import { medianOf } from "../statistics.mjs";

/** @type {readonly { from: number, verdict: string }[]} `from`: the least gain. */
export const rule = [
  { from: 0.2, verdict: "native" },
  { from: 0.1, verdict: "hybrid" },
  { from: 0.05, verdict: "reconsider" },
  { from: Number.NEGATIVE_INFINITY, verdict: "off" },
];

/** A gain counts when so many of the rounds showed one; fewer are noise. */
const agreeingShareMin = 0.75;

/**
 * @typedef {{ min: number, median: number, max: number, rounds: number[] }} Gain How much more work in the
 *   same time: 0.1 is 10 %.
 */

/**
 * @param {{ rounds: readonly number[], better: "more" | "less" }} ratio With the part to without it.
 * @returns {Gain}
 */
export function gainOf({ rounds, better }) {
  const gains = rounds.map((ratio) => (better === "more" ? ratio : 1 / ratio) - 1);
  const median = medianOf(gains);
  return { min: Math.min(...gains), median, max: Math.max(...gains), rounds: gains };
}

/**
 * Whether the sign of a gain is more than noise.
 * @param {Gain} gain
 */
export function isClear({ rounds, median }) {
  const agreeing = rounds.filter((gain) => Math.sign(gain) === Math.sign(median));
  return agreeing.length / rounds.length >= agreeingShareMin;
}

/**
 * A part is judged by the load that it helps most: users run one kind of load, not the mean of four.
 * @param {readonly Gain[]} gains One for each load.
 * @returns {{ gain: number, verdict: string }}
 */
export function judge(gains) {
  const gain = Math.max(0, ...gains.filter(isClear).map(({ median }) => median));
  return { gain, verdict: rule.find(({ from }) => gain >= from).verdict };
}

/**
 * @param {number} gain
 * @returns {string} As a percentage up to a doubling, as a factor above.
 */
export function formatGain(gain) {
  if (gain >= 1) return `${(gain + 1).toFixed(gain >= 9 ? 0 : 1)} ×`;
  const percent = (gain * 100).toFixed(1);
  return gain >= 0 ? `+${percent} %` : `−${percent.slice(1)} %`;
}

/**
 * The table of a decision record.
 * @param {readonly { id: string, about: string, loads: { title: string, gain: Gain }[] }[]} results
 * @returns {string}
 */
export function tableOf(results) {
  const titles = [...new Set(results.flatMap(({ loads }) => loads.map(({ title }) => title)))];
  const rows = results.map(({ id, about, loads }) => {
    const cells = titles.map((title) => {
      const gain = loads.find((load) => load.title === title)?.gain;
      if (gain === undefined) return "";
      const spread = `${formatGain(gain.min)} to ${formatGain(gain.max)}`;
      return `${formatGain(gain.median)} (${spread})${isClear(gain) ? "" : " ~"}`;
    });
    const { gain, verdict } = judge(loads.map((load) => load.gain));
    return [`${id}: ${about}`, ...cells, `${formatGain(gain)}: ${verdict}`];
  });
  const lines = [["part", ...titles, "verdict"], Array(titles.length + 2).fill("---"), ...rows];
  return `${lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n")}\n`;
}

/** Below this share of a stored gain a part has become slower; machines differ by less. */
const keptShareMin = 0.5;

/**
 * What has become worse since a stored run: gains are ratios, so they carry over from machine to machine.
 * @param {readonly { id: string, gain: number }[]} results
 * @param {readonly { id: string, gain: number }[]} stored
 * @returns {string[]} One line for each pair that has.
 */
export function regressionsOf(results, stored) {
  return results.flatMap(({ id, gain }) => {
    const before = stored.find((other) => other.id === id)?.gain ?? 0;
    // What was not worth it has nothing to lose.
    if (before < rule.at(-2).from || gain >= before * keptShareMin) return [];
    return [`${id}: the gain is ${formatGain(gain)}, it was ${formatGain(before)}`];
  });
}
