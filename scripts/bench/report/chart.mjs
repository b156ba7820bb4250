/** The result as a chart: how many times better ours is than each of the others, on a logarithmic axis. */
import { parse, View } from "vega";
import { timesBetter } from "./format.mjs";

const rowHeight = 22;
const width = 560;
/** Colours that people tell apart, and that are seen on white and on black. */
const colours = ["#4c78a8", "#e45756", "#54a24b", "#b279a2", "#eeca3b", "#9d755d"];

/**
 * @param {import("./result.mjs").Result} result
 * @returns {Promise<string>} SVG.
 */
export async function chartOf(result) {
  const view = new View(parse(specificationOf(pointsOf(result))), { renderer: "none" });
  try {
    return `${await view.toSVG()}\n`;
  } finally {
    view.finalize();
  }
}

/** The first figure of each case, with its spread. */
export function pointsOf({ scenarios, servers }) {
  const titles = new Map(servers.map(({ id, title }) => [id, title]));
  return scenarios.flatMap(({ id: scenario, cases }) =>
    cases.flatMap(({ title, light, figures: [figure], ratios }) =>
      Object.entries(ratios).flatMap(([id, figures]) => {
        const ratio = figures[figure.id];
        if (ratio === undefined) return [];
        const { median, min, max } = timesBetter(ratio, figure.better);
        const row = `${scenario}: ${title}${light ? ", light" : ""} (${figure.title})`;
        return [{ row, server: titles.get(id), median, min, max }];
      }),
    ),
  );
}

function specificationOf(points) {
  const servers = [...new Set(points.map(({ server }) => server))];
  const bounds = [1, ...points.flatMap(({ min, max }) => [min, max])];
  const x = { scale: "x" };
  const y = { scale: "y", field: "row", band: 0.5 };
  const stroke = { scale: "colour", field: "server" };
  return {
    $schema: "https://vega.github.io/schema/vega/v6.json",
    background: "white",
    padding: 12,
    width,
    height: Math.max(1, new Set(points.map(({ row }) => row)).size) * rowHeight,
    title: {
      text: "How many times better mlx-serving is: median and range of rounds",
      anchor: "start",
    },
    data: [{ name: "points", values: points }],
    scales: [
      {
        name: "x",
        type: "log",
        domain: [Math.min(...bounds), Math.max(...bounds)],
        range: "width",
        nice: true,
      },
      { name: "y", type: "band", domain: { data: "points", field: "row" }, range: "height" },
      { name: "colour", type: "ordinal", domain: servers, range: colours },
    ],
    axes: [
      {
        scale: "x",
        orient: "bottom",
        grid: true,
        format: "~g",
        tickCount: 6,
        title: "times better; left of 1: worse",
      },
      { scale: "y", orient: "left", labelLimit: 420 },
    ],
    legends: [{ fill: "colour", symbolType: "circle", orient: "bottom", direction: "horizontal" }],
    marks: [
      {
        type: "rule",
        encode: {
          enter: {
            x: { ...x, value: 1 },
            y: { value: 0 },
            y2: { signal: "height" },
            stroke: { value: "#888" },
            strokeWidth: { value: 1.5 },
          },
        },
      },
      {
        type: "rule",
        from: { data: "points" },
        encode: {
          enter: {
            x: { ...x, field: "min" },
            x2: { ...x, field: "max" },
            y,
            stroke,
            strokeWidth: { value: 3 },
            opacity: { value: 0.5 },
          },
        },
      },
      {
        type: "symbol",
        from: { data: "points" },
        encode: { enter: { x: { ...x, field: "median" }, y, fill: stroke, size: { value: 60 } } },
      },
    ],
  };
}
