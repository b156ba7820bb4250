/** Two targets side by side: ratios of their rounds, since single figures of a noisy machine say little. */
import type { Distribution, Summary } from "./statistics.js";

/** Of the first target to the second; of rates more is better, of times less. */
export interface Ratio {
  name: string;
  better: "more" | "less";
  /** One a round; rounds in which either side has no figure are left out. */
  rounds: number[];
  min: number;
  median: number;
  max: number;
}

const time =
  (name: "ttftMs" | "interTokenMs" | "perTokenMs" | "endToEndMs", at: "p50" | "p95" | "p99") =>
  (summary: Summary) =>
    (summary[name] as Distribution | null)?.[at];

const figures: [
  name: string,
  better: "more" | "less",
  of: (summary: Summary) => number | undefined,
][] = [
  ["tokens/s", "more", (summary) => summary.tokensPerSecond],
  ["requests/s", "more", (summary) => summary.requestsPerSecond],
  ["TTFT p50", "less", time("ttftMs", "p50")],
  ["TTFT p99", "less", time("ttftMs", "p99")],
  ["inter-token p50", "less", time("interTokenMs", "p50")],
  ["inter-token p99", "less", time("interTokenMs", "p99")],
  ["per token p50", "less", time("perTokenMs", "p50")],
  ["end to end p50", "less", time("endToEndMs", "p50")],
  ["end to end p99", "less", time("endToEndMs", "p99")],
];

/** Of an even number, the mean of the middle two. */
function median(ascending: readonly number[]): number {
  const middle = ascending.length / 2;
  const low = ascending[Math.ceil(middle) - 1] ?? Number.NaN;
  const high = ascending[Math.floor(middle)] ?? Number.NaN;
  return (low + high) / 2;
}

/** Ratios round by round; both lists hold one summary a round. Figures without any round are left out. */
export function compare(ours: readonly Summary[], theirs: readonly Summary[]): Ratio[] {
  return figures.flatMap(([name, better, of]) => {
    const rounds = ours.flatMap((summary, round) => {
      const other = theirs[round];
      const a = of(summary);
      const b = other === undefined ? undefined : of(other);
      return a === undefined || b === undefined || a <= 0 || b <= 0 ? [] : [a / b];
    });
    if (rounds.length === 0) return [];
    const ascending = [...rounds].sort((a, b) => a - b);
    const [min, max] = [ascending[0]!, ascending[ascending.length - 1]!];
    return [{ name, better, rounds, min, median: median(ascending), max }];
  });
}
