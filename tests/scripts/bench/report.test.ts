import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { absent, cellOf, ratiosOf } from "../../../scripts/bench/outcomes.mjs";
import { chartOf, pointsOf } from "../../../scripts/bench/report/chart.mjs";
import { withTable, writeFiles } from "../../../scripts/bench/report/files.mjs";
import { digits, formatValue } from "../../../scripts/bench/report/format.mjs";
import { merged, resultOf } from "../../../scripts/bench/report/result.mjs";
import { tableOf } from "../../../scripts/bench/report/table.mjs";
import * as statistics from "../../../src-ts/bench/statistics.js";

const machine = {
  ...{ platform: "linux", arch: "x64", cpus: 2, cpu: "A <processor>" },
  ...{ memoryBytes: 2 ** 34, node: "v20.0.0" },
};
const servers = ["ours", "other", "dead"].map((id) => ({
  ...{ id, title: `The ${id}`, command: `${id} serve` },
}));

const record = (failure?: string) => ({
  ...{ startedAt: 0, endedAt: 10, arrivals: [5, 10], texts: ["a", "b"], failure },
  usage: { promptTokens: 9, cachedTokens: 0, completionTokens: 2 },
});

const toolkit = statistics as unknown as Parameters<typeof cellOf>[2];

function round(rate: number, ttft: number, failure?: string) {
  return { figures: { "tokens/s": rate, "TTFT p50": ttft }, records: [record(), record(failure)] };
}

function scenario(id: string, busyBefore = 0) {
  const ours = [round(100, 20), round(120, 30)];
  const other = [round(50, 40), round(40, 90, "timeout")];
  const one = {
    ...{ id: "streams-8", title: "8 streams", light: false },
    figures: [
      { id: "tokens/s", title: "tokens/s", unit: "tokens/s", better: "more" as const },
      { id: "TTFT p50", title: "TTFT p50", unit: "ms", better: "less" as const },
    ],
    servers: {
      ours: cellOf(ours, 2 ** 30, toolkit),
      other: cellOf(other, null, toolkit),
      dead: absent("it is not installed"),
    },
    ratios: { other: ratiosOf(ours, other) },
  };
  return { ...{ id, about: "closed loop", rounds: 2, busyBefore, loadAverage: 0 }, cases: [one] };
}

function result(scenarios: ReturnType<typeof scenario>[], measuredAt = "2026-01-02T03:04:05.000Z") {
  const stamp = { measuredAt, commit: "0123456789abcdef", machine };
  return resultOf({ scenarios, servers, stamp, command: "npm run bench", size: "full" });
}

describe("figures", () => {
  it("have their spread, and ratios are made round by round", () => {
    const { cases } = scenario("streams");
    expect(cases[0]!.servers.ours.figures["tokens/s"]).toMatchObject({
      ...{ min: 100, median: 110, max: 120, rounds: [100, 120] },
    });
    expect(cases[0]!.ratios.other["tokens/s"]).toMatchObject({ min: 2, median: 2.5, max: 3 });
    expect(cases[0]!.servers.other).toMatchObject({ requests: 4, failures: { timeout: 1 } });
  });

  it("that no round had are not there, and the cell says why", () => {
    const failed = { figures: { rate: undefined }, records: [record("http_400")] };
    expect(cellOf([failed], null, toolkit)).toMatchObject({
      ...{ figures: {}, reason: "none of 1 requests succeeded: 1 × http_400" },
    });
    const silent = { figures: {}, records: [{ ...record(), usage: undefined }] };
    expect(cellOf([silent], null, toolkit).reason).toBe("its streams have no usage");
  });
});

describe("numbers", () => {
  it.each([
    [1_234_567, "1,234,567"],
    [999.6, "1,000"],
    [42.25, "42.3"],
    [0.123, "0.12"],
  ])("%s is %s", (value, text) => expect(digits(value)).toBe(text));

  it("have the unit that people read", () => {
    expect(formatValue(1_500, "ms")).toBe("1.50 s");
    expect(formatValue(15, "ms")).toBe("15.0 ms");
    expect(formatValue(3 * 2 ** 20, "bytes")).toBe("3.00 MiB");
  });
});

describe("the table", () => {
  const text = tableOf(result([scenario("streams")]));

  it("has each figure with its spread, and how many times better ours is", () => {
    expect(text).toContain("| load | figure | The ours | The other |");
    expect(text).toContain(
      "| 8 streams | tokens/s | 110 (100 to 120) | 45.0 (40.0 to 50.0); **2.50 × (2.00 × to 3.00 ×)** |",
    );
    expect(text).toContain("65.0 ms (40.0 ms to 90.0 ms); **2.50 × (2.00 × to 3.00 ×)** |");
    expect(text).toContain("|  | tokens an answer | 2.00 | 2.00 |");
    expect(text).toContain("|  | peak memory | 1,024 MiB | – |");
  });

  it("tells failures, and why a server has no column", () => {
    expect(text).toContain("| failed requests | – | 1 × timeout of 4 |");
    expect(text).toContain("- The dead: it is not installed.");
  });

  it("tells when, with what and how it was measured", () => {
    expect(text).toContain(
      "`npm run bench`; 2026-01-02, commit 0123456, 2 rounds, other work 0 %.",
    );
    expect(text).not.toContain("not quiet");
  });

  it("says first that the machine was busy", () => {
    const busy = tableOf(result([scenario("streams", 0.4), scenario("agents", 0.9)]));
    expect(busy).toMatch(/^\*\*The machine was not quiet: other work had 40 % to 90 %/);
  });
});

describe("the chart", () => {
  it("turns every ratio so that more is better", () => {
    expect(pointsOf(result([scenario("streams")]))).toEqual([
      {
        ...{ row: "streams: 8 streams (tokens/s)", server: "The other" },
        ...{ min: 2, median: 2.5, max: 3 },
      },
    ]);
  });

  it.each([
    ["with ratios", [scenario("streams"), scenario("agents")]],
    ["without any", [] as ReturnType<typeof scenario>[]],
  ])("is well-formed, %s", async (_, scenarios) => {
    const svg = await chartOf(result(scenarios));
    expect(svg).toMatch(/^<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    expect(unclosed(svg)).toEqual([]);
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  });
});

/** Names of elements that are opened and not closed in their place. */
function unclosed(xml: string): string[] {
  const open: string[] = [];
  for (const [, closing, name, own] of xml.matchAll(/<(\/?)([\w:]+)(?:"[^"]*"|[^>"])*?(\/?)>/g)) {
    if (own === "/") continue;
    if (closing === "") open.push(name!);
    else if (open.pop() !== name) return [`</${name}>`];
  }
  return open;
}

describe("a run of a part", () => {
  const order = ["streams", "agents"];

  it("replaces what was measured again, and keeps the rest", () => {
    const older = result([scenario("streams"), scenario("agents")]);
    const newer = result([scenario("streams")], "2026-02-02T00:00:00.000Z");
    const { scenarios } = merged(older, newer, order);
    expect(scenarios.map(({ id, measuredAt }) => [id, measuredAt.slice(0, 7)])).toEqual([
      ["streams", "2026-02"],
      ["agents", "2026-01"],
    ]);
  });

  it("keeps nothing of another machine", () => {
    const older = result([scenario("agents")]);
    older.machine = { ...machine, cpu: "another" };
    const newer = result([scenario("streams")]);
    expect(merged(older, newer, order)).toBe(newer);
  });
});

describe("files", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "mlx-serving-report-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it("are JSON, chart and the table between the marks of a page", async () => {
    const page = join(folder, "PAGE.md");
    const marks = ["<!-- table of npm run bench -->", "<!-- end of the table -->"];
    writeFileSync(page, `Before.\n${marks.join("\nold\n")}\nAfter.\n`);
    const json = join(folder, "copy.json");
    const made = result([scenario("streams")]);
    await writeFiles(made, { folder, page, json, order: ["streams"] });
    expect(JSON.parse(readFileSync(join(folder, "bench.json"), "utf8"))).toEqual(
      JSON.parse(JSON.stringify(made)),
    );
    expect(readFileSync(json, "utf8")).toBe(readFileSync(join(folder, "bench.json"), "utf8"));
    expect(readFileSync(join(folder, "bench.svg"), "utf8")).toMatch(/^<svg/);
    const text = readFileSync(page, "utf8");
    const chart = "![How many times better than its peers](bench.svg)";
    const between = `${chart}\n\n${tableOf(made)}`;
    expect(text).toBe(`Before.\n${marks[0]}\n${between}${marks[1]}\nAfter.\n`);
  });

  it("need marks in the page", () => {
    expect(() => withTable("nothing", "table")).toThrow("lacks");
  });
});

it("the page of the documentation has the marks", () => {
  const page = readFileSync(join(import.meta.dirname, "../../../docs/PERFORMANCE.md"), "utf8");
  expect(withTable(page, "")).toContain("<!-- table of npm run bench -->");
});
