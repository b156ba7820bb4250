/** What `npm run build` has made of the console: small enough, whole, and of nothing from elsewhere. Needs no browser. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { consoleFolder, gzipBytesMax } from "../../scripts/lib/console.mjs";

const read = (name: string) => readFileSync(join(consoleFolder, name), "utf8");
const names = Object.keys(JSON.parse(read("manifest.json")).files as Record<string, unknown>);

it("is within its limit, in every form", () => {
  const size = (ending: string) =>
    names.reduce((sum, name) => sum + statSync(join(consoleFolder, name + ending)).size, 0);
  expect(size(".gz")).toBeLessThan(gzipBytesMax);
  expect(size(".br")).toBeLessThan(size(".gz"));
  expect(readdirSync(consoleFolder)).toHaveLength(names.length * 3 + 1);
});

it("loads what is beside it, and nothing else", () => {
  const page = read("index.html");
  const loaded = [...page.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, path]) => path!);
  expect(loaded.length).toBeGreaterThan(3);
  for (const path of loaded) expect(names).toContain(path.replace(/^\/console\//, ""));
  const style = read(names.find((name) => name.endsWith(".css"))!);
  expect(style).not.toMatch(/@import|url\((?!"?data:)/);
});
