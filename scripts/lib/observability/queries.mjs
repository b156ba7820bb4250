/** What the dashboard and the alerts ask, as Prometheus is asked it; and which of it has no answer under this load, and why. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../../setup/paths.mjs";

export const folder = join(packageRoot, "docs", "observability");

const cachesNothing = "the fake engine keeps no keys and values";

/** Queries without series, by a part of their text. What is here and has series is a mistake too. */
const silent = {
  fake: { "mlx_serving:worker_prefix_": cachesNothing },
  mlx: {},
};
const silentOnAnyEngine = {
  "mlx_serving:worker_prefix_disk_": "--prefix-cache-dir is not set",
};

export const silenceOf = (expr, engine) =>
  Object.entries({ ...silent[engine], ...silentOnAnyEngine }).find(([part]) =>
    expr.includes(part),
  )?.[1];

/** @returns {{ title: string, expr: string }[]} */
export function dashboardQueries() {
  const dashboard = JSON.parse(readFileSync(join(folder, "grafana-dashboard.json"), "utf8"));
  return dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, legendFormat }) => ({
      title: `${title}: ${legendFormat}`,
      expr: expr
        .replaceAll("$__rate_interval", "20s")
        .replaceAll("[5m]", "[1m]")
        .replaceAll(/\$(instance|model)\b/g, ".*"),
    })),
  );
}
