/** What the charts show of the samples: series of numbers, and the text of the newest. Pure. */
import type { Sample } from "../../protocol/live.js";
import { format, t } from "../strings.js";

export interface ChartSpec {
  id: keyof typeof t.live.charts;
  series: readonly { label: string; of: (sample: Sample) => number | null }[];
  text: (value: number) => string;
  /** The axis reaches at least so far. */
  atLeast: number;
}

const percent = (share: number | null) => (share === null ? null : share * 100);
const ms = (value: number) => format.duration(value);
const inPercent = (value: number) => format.percent(value / 100);
const { series } = t.live;

export const charts: readonly ChartSpec[] = [
  {
    id: "speed",
    series: [{ label: series.speed, of: ({ tokensPerS }) => tokensPerS }],
    text: (value) => `${format.decimal(value)} ${series.speed}`,
    atLeast: 10,
  },
  {
    id: "ttft",
    series: [
      { label: series.mean, of: ({ ttftMeanMs }) => ttftMeanMs },
      { label: series.p95, of: ({ ttftP95Ms }) => ttftP95Ms },
    ],
    text: ms,
    atLeast: 10,
  },
  {
    id: "interToken",
    series: [
      { label: series.mean, of: ({ interTokenMeanMs }) => interTokenMeanMs },
      { label: series.p95, of: ({ interTokenP95Ms }) => interTokenP95Ms },
    ],
    text: ms,
    atLeast: 10,
  },
  {
    id: "load",
    series: [
      { label: series.running, of: ({ running }) => running },
      { label: series.waiting, of: ({ waiting }) => waiting },
    ],
    text: format.number,
    atLeast: 4,
  },
  {
    id: "kv",
    series: [{ label: series.use, of: ({ kvUse }) => percent(kvUse) }],
    text: inPercent,
    atLeast: 10,
  },
  {
    id: "prefix",
    series: [{ label: series.hits, of: ({ prefixHitRate }) => percent(prefixHitRate) }],
    text: inPercent,
    atLeast: 100,
  },
];

/** Columns as uPlot takes them: seconds, and a list a series. */
export function columnsOf(
  spec: ChartSpec,
  samples: readonly Sample[],
): [number[], ...(number | null)[][]] {
  return [samples.map(({ atMs }) => atMs / 1000), ...spec.series.map(({ of }) => samples.map(of))];
}

/** There is nothing to draw. */
export function isBlank(spec: ChartSpec, samples: readonly Sample[]): boolean {
  return spec.series.every(({ of }) => samples.every((sample) => of(sample) === null));
}

/** One value is no line: it is seen as a point. */
export function isLone(values: ArrayLike<number | null | undefined>): boolean {
  let found = 0;
  for (let i = 0; i < values.length && found < 2; i++) if (values[i] != null) found++;
  return found === 1;
}

/** The newest value of each series, as a text. */
export function latestText(spec: ChartSpec, samples: readonly Sample[]): string {
  const newest = samples.at(-1);
  const parts = spec.series.flatMap(({ label, of }) => {
    const value = newest === undefined ? null : of(newest);
    if (value === null) return [];
    return [spec.series.length > 1 ? `${spec.text(value)} ${label}` : spec.text(value)];
  });
  return parts.join(" · ") || t.live.noValue;
}
