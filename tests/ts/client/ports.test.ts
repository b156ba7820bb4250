/** The client reaches time, chance and sockets through its ports alone. */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";

const folder = resolve(import.meta.dirname, "../../../src-ts/client");

/** The files that stand for the outside. */
const outside = ["platform.ts", "websocket-node.ts", "websocket-browser.ts"];

const outsideNames =
  /\b(setTimeout|setInterval|setImmediate|clearTimeout|Date|performance|crypto|process|Math\.random|AbortSignal\.timeout)\b/g;

/** Comments may say what code may not. */
function namesIn(file: string): string[] {
  const source = readFileSync(join(folder, file), "utf8");
  return source.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "").match(outsideNames) ?? [];
}

it("names nothing of the outside beside its ports", () => {
  const files = readdirSync(folder, { encoding: "utf8" }).filter((name) => !outside.includes(name));
  expect(files.length).toBeGreaterThan(5);
  expect(files.flatMap((file) => namesIn(file).map((name) => `${file}: ${name}`))).toEqual([]);
  expect(namesIn("platform.ts")).toContain("performance");
});
