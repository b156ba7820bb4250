/** What docs/OBSERVABILITY.md and the files beside it say of metrics, held against those that a server has. */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { failures } from "../../src-ts/failures.js";
import * as schemas from "../../src-ts/machines/schemas.js";
import { type Family, families } from "../support/exposition.js";
import { type Query, readQuery } from "../support/promql.js";
import { everyMetric } from "./support/every-metric.js";

const root = resolve(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(root, "docs", path), "utf8");
const page = read("OBSERVABILITY.md");
const prefix = "mlx_serving:";

interface Target {
  expr: string;
  legendFormat: string;
}
interface Panel {
  title: string;
  type: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: Target[];
}
interface Dashboard {
  panels: Panel[];
  templating: { list: { name: string; query: string | { query: string } }[] };
}
interface Rule {
  alert: string;
  expr: string;
  annotations: { summary: string };
}

const dashboard = JSON.parse(read("observability/grafana-dashboard.json")) as Dashboard;
const rules = (
  parse(read("observability/prometheus-alerts.yml")) as { groups: { rules: Rule[] }[] }
).groups.flatMap((group) => group.rules);

let known: Map<string, Family>;
beforeAll(async () => {
  known = families(await everyMetric());
});

const rowsOf = (heading: string) =>
  page
    .slice(page.indexOf(`## ${heading}\n`))
    .split("\n## ")[0]!
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => line.slice(2, -2).split(" | "));
const unquoted = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);

/** Prometheus gives them to every sample. */
const ofPrometheus = ["instance", "job"];
/** What Prometheus makes itself. */
const own: Family = {
  ...{ name: "up", type: "gauge", help: "", samples: [] },
  labels: new Set(),
};

function familyOf(name: string): Family | undefined {
  if (name === "up") return own;
  const found = known.get(name);
  if (found !== undefined && found.type !== "histogram") return found;
  const [, base, ending] = /^(.*)_(bucket|sum|count)$/.exec(name) ?? [];
  const parts = known.get(base ?? "");
  const has = parts?.type === "histogram" || (parts?.type === "summary" && ending !== "bucket");
  return has ? parts : undefined;
}

/** Values that a label can have, where there is a list of them. */
const values: Readonly<Record<string, readonly string[]>> = {
  state: schemas.Worker.state.options.map(({ shape }) => shape.kind.value),
  code: Object.keys(failures),
  kind: ["late", "stale", "illegal", "read", "write", "unfit"],
  finished_reason: ["stop", "length", "toolCalls", "cancelled", "expired", "failed"],
};

function complaints({ selectors, groupings, errors }: Query): string[] {
  const found = [...errors];
  const labels = new Set([...ofPrometheus, "le"]);
  for (const { metric, matchers } of selectors) {
    const family = familyOf(metric);
    if (family === undefined) {
      found.push(`there is no ${metric}`);
      continue;
    }
    for (const label of family.labels) labels.add(label);
    for (const { label, value } of matchers) {
      if (![...family.labels, ...ofPrometheus].includes(label))
        found.push(`${metric} has no label ${label}`);
      const allowed = values[label];
      const unknown = value.split("|").filter((one) => allowed && !allowed.includes(one));
      if (unknown.length > 0) found.push(`${label} is never ${unknown}`);
    }
  }
  for (const label of groupings) if (!labels.has(label)) found.push(`nothing has a label ${label}`);
  return found;
}

/** What Grafana puts in place of its variables. */
const filled = (expr: string) =>
  expr.replaceAll("$__rate_interval", "1m").replaceAll(/\$(instance|model)\b/g, ".*");

describe("the table of metrics", () => {
  it("has each that a server tells, with its type and its labels, and no other", () => {
    const told = [...known.values()]
      .filter(({ name }) => name.startsWith(prefix))
      .map(({ name, type, labels }) => [name.slice(prefix.length), type, [...labels].toSorted()]);
    const written = rowsOf("All metrics").map(([name = "", type, labels = ""]) => [
      unquoted(name)[0],
      type,
      unquoted(labels).toSorted(),
    ]);
    expect(told.length).toBeGreaterThan(70);
    expect(written.toSorted()).toEqual(told.toSorted());
  });

  it("says something of each, and every metric has had a sample here", () => {
    for (const [name, , , said = ""] of rowsOf("All metrics"))
      expect(said.length, name).toBeGreaterThan(8);
    const silent = [...known.values()].filter(({ samples }) => samples.length === 0);
    expect(silent.map(({ name }) => name).filter((name) => name.startsWith(prefix))).toEqual([]);
  });

  it("names those that the rest of the page and other pages name", () => {
    const texts = [
      page.slice(0, page.indexOf("## All metrics")),
      read("OPERATIONS.md"),
      read("KEYS.md"),
    ];
    const named = texts.flatMap((text) => [
      ...text.matchAll(/`(?:mlx_serving:)?([a-z]\w*_(?:total|seconds|perc))\b/g),
    ]);
    expect(named.length).toBeGreaterThan(20);
    const table = new Set(rowsOf("All metrics").flatMap(([name = ""]) => unquoted(name)));
    const unknown = named.map(([, name]) => name!).filter((name) => !table.has(name));
    expect(unknown).toEqual([]);
  });
});

describe("the dashboard", () => {
  const queries = dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map((target) => ({ title, ...target })),
  );

  it.each(queries)("asks what can be answered: $title, $legendFormat", ({ expr }) => {
    expect(complaints(readQuery(filled(expr)))).toEqual([]);
  });

  it("names series by labels that they have, and filters by its variables", () => {
    for (const { expr, legendFormat, title } of queries) {
      const { groupings, selectors } = readQuery(filled(expr));
      const left = groupings.length > 0 ? groupings : ["instance"];
      const named = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!);
      expect(
        named.filter((label) => !left.includes(label)),
        title,
      ).toEqual([]);
      for (const { metric, matchers } of selectors)
        expect(
          matchers.map(({ label }) => label),
          metric,
        ).toContain("instance");
    }
  });

  it("has variables of labels that there are", () => {
    const asked = dashboard.templating.list.flatMap(({ query }) => {
      const text = typeof query === "string" ? query : query.query;
      const [, metric, label] = /^label_values\((\S+), (\w+)\)$/.exec(text) ?? [];
      return metric === undefined ? [] : [[metric, label!] as const];
    });
    expect(asked.length).toBe(2);
    for (const [metric, label] of asked)
      expect([...familyOf(metric)!.labels, ...ofPrometheus]).toContain(label);
  });

  it("has no panel upon another, and none without a query", () => {
    const cells = new Set<string>();
    for (const { type, title, targets = [], gridPos } of dashboard.panels) {
      expect(targets.length > 0 || type === "row", title).toBe(true);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(cells.has(`${x} ${y}`), title).toBe(false);
          cells.add(`${x} ${y}`);
        }
    }
  });
});

describe("the alerts", () => {
  it.each(rules)("$alert asks what can be answered", ({ expr, annotations }) => {
    const query = readQuery(expr);
    expect(complaints(query)).toEqual([]);
    const left =
      query.groupings.length > 0
        ? query.groupings
        : query.selectors.flatMap(({ metric }) => [...familyOf(metric)!.labels, ...ofPrometheus]);
    const named = [...annotations.summary.matchAll(/\$labels\.(\w+)/g)].map(([, label]) => label!);
    expect(named.filter((label) => !left.includes(label))).toEqual([]);
  });

  it("each have their line, and the page says how many there are", () => {
    const written = rowsOf("Alerts").flatMap(([name = ""]) => unquoted(name));
    expect(written).toEqual(rules.map(({ alert }) => alert));
    expect(page).toContain(`, ${rules.length} rules.`);
  });

  it("are about a job of the name that the scrape has", () => {
    const { scrape_configs: scrapes } = parse(read("observability/prometheus.yml"));
    const [{ job_name: job }] = scrapes;
    const named = rules.flatMap(({ expr }) =>
      readQuery(expr).selectors.flatMap(({ matchers }) =>
        matchers.flatMap(({ label, value }) => (label === "job" ? [value] : [])),
      ),
    );
    expect(new Set(named)).toEqual(new Set([job]));
  });
});

it("a query that is wrong is found", () => {
  expect(complaints(readQuery("sum(rate(mlx_serving:ready[1m])"))).not.toEqual([]);
  expect(complaints(readQuery("mlx_serving:redy"))).toEqual(["there is no mlx_serving:redy"]);
  const labels = 'sum by (modell) (mlx_serving:worker_state{stat="x", state="brokn"})';
  expect(complaints(readQuery(labels))).toEqual([
    "mlx_serving:worker_state has no label stat",
    "state is never brokn",
    "nothing has a label modell",
  ]);
  const bare = "mlx_serving:time_to_first_token_seconds";
  expect(complaints(readQuery(bare))).toEqual([`there is no ${bare}`]);
});
