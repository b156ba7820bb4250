/** Where a result goes: JSON, a chart, and the table in the documentation between its marks. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { chartOf } from "./chart.mjs";
import { merged } from "./result.mjs";
import { tableOf } from "./table.mjs";

const begin = "<!-- table of npm run bench -->";
const end = "<!-- end of the table -->";

/**
 * @param {import("./result.mjs").Result} result
 * @param {{ folder: string, page?: string, json?: string, order: readonly string[] }} where `folder`: for
 *   bench.json and bench.svg; a result that is there is kept, but for what was measured again. `page`: which has the
 *   marks; default: bench.md of the folder, without more.
 */
export async function writeFiles(result, { folder, page, json, order }) {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, "bench.json");
  const older = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
  const all = merged(older, result, order);
  const text = `${JSON.stringify(all, undefined, 1)}\n`;
  writeFileSync(path, text);
  if (json !== undefined) writeFileSync(json, text);
  const chart = join(folder, "bench.svg");
  writeFileSync(chart, await chartOf(all));
  const target = page ?? join(folder, "bench.md");
  const shown = `![How many times better than its peers](${relative(dirname(target), chart)})\n\n${tableOf(all)}`;
  writeFileSync(target, page === undefined ? shown : withTable(readFileSync(page, "utf8"), shown));
}

/**
 * @param {string} page
 * @param {string} table
 * @returns {string}
 */
export function withTable(page, table) {
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`The page lacks ${begin} or ${end}.`);
  return `${page.slice(0, from + begin.length)}\n${table}${page.slice(to)}`;
}
