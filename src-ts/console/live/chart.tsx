/** One chart of the last fifteen minutes. Its newest values stand beside it as text. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { samples } from "../server/feed.js";
import { t } from "../strings.js";
import { isDark } from "../ui/theme.js";
import { type ChartSpec, columnsOf, isBlank, isLone, latestText } from "./charts.js";

const heightPixels = 112;
const pointPixels = 6;
const spanS = 15 * 60;

export function Chart({ spec }: { spec: ChartSpec }) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const dark = isDark.value;
  const text = latestText(spec, samples.value);
  const title = t.live.charts[spec.id];
  useEffect(() => {
    const { current } = place;
    if (current === null) return;
    const made = new uPlot(optionsOf(spec, current), columnsOf(spec, samples.peek()), current);
    plot.current = made;
    const observer = new ResizeObserver(() =>
      made.setSize({ width: current.clientWidth, height: heightPixels }),
    );
    observer.observe(current);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [spec, dark]);
  useEffect(() => {
    plot.current?.setData(columnsOf(spec, samples.value));
  }, [spec, samples.value]);
  return (
    <figure class="chart card">
      <figcaption>
        <span class="chart-title">{title}</span>
        <span class="chart-now">{text}</span>
      </figcaption>
      <div ref={place} class="plot" role="img" aria-label={t.live.chartLabel(title, text)}>
        {isBlank(spec, samples.value) && <p class="plot-blank">{t.live.blank}</p>}
      </div>
      <p class="legend" aria-hidden="true">
        {spec.series.map(({ label }, i) => (
          <span key={label} class={`key key-${i + 1}`}>
            {label}
          </span>
        ))}
      </p>
    </figure>
  );
}

function optionsOf(spec: ChartSpec, place: HTMLElement): uPlot.Options {
  const color = (name: string) => colorOf(place, name);
  const line = color("--line");
  const font = `11px ${getComputedStyle(place).fontFamily}`;
  return {
    width: place.clientWidth,
    height: heightPixels,
    padding: [6, 4, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: true, range: spanOf },
      y: { range: (_plot, _min, max) => [0, Math.max(spec.atLeast, max * 1.1)] },
    },
    axes: [
      {
        stroke: color("--muted"),
        font,
        space: 80,
        size: 22,
        gap: 2,
        grid: { show: false },
        ticks: { show: false },
        values: (_plot, splits) => splits.map(timeText),
      },
      {
        stroke: color("--muted"),
        font,
        space: 34,
        size: 52,
        gap: 4,
        grid: { stroke: line, width: 1 },
        ticks: { show: false },
        values: (_plot, splits) =>
          splits.map((value) => spec.text(value).replace(/ tokens\/s$/, "")),
      },
    ],
    series: [
      {},
      ...spec.series.map(({ label }, i) => ({
        label,
        stroke: color(`--series-${i + 1}`),
        width: 1.75,
        ...(i === 0 && { fill: color("--series-fill") }),
        spanGaps: true,
        points: { show: isPoint, size: pointPixels, fill: color(`--series-${i + 1}`) },
      })),
    ],
  };
}

/** Up to the newest sample: by itself the library shows a whole day behind a lone one. */
function spanOf({ data: [seconds] }: uPlot): uPlot.Range.MinMax {
  const end = seconds[seconds.length - 1] ?? Date.now() / 1000;
  return [end - spanS, end];
}

const isPoint = ({ data }: uPlot, series: number): boolean => isLone(data[series]!);

/** As a canvas takes it: that of the theme which is shown. */
function colorOf(place: HTMLElement, name: string): string {
  place.style.color = `var(${name})`;
  const { color } = getComputedStyle(place);
  place.style.removeProperty("color");
  return color;
}

const timeText = (seconds: number): string =>
  new Date(seconds * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
