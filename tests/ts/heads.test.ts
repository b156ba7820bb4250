/** Files are small, and every source begins with what it owns. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { packageRoot as root } from "../../setup/paths.mjs";
import { filesIn } from "../support/imports.js";

const testLinesMax = 600;
/** After what must be the first line. */
const headOfScript = /^(?:(?:#!|\/\/\/).*\n)?\/[*/][* ]/;

const read = (name: string) => readFileSync(join(root, name), "utf8");

describe.each([
  ["TypeScript", ["src-ts"], /\.tsx?$/, headOfScript],
  ["CSS", ["src-ts/console"], /\.css$/, headOfScript],
  ["JavaScript", ["setup", "scripts"], /\.mjs$/, headOfScript],
  ["Python", ["python/mlx_serving", "python/families"], /\.py$/, /^"""/],
  ["ReScript", ["src-res"], /\.res$/, /^\/\*\*/],
] as const)("%s", (_, folders, ending, head) => {
  it("says at the top of every source what it owns", () => {
    const sources = filesIn(root, folders, ending).filter((name) => read(name).trim() !== "");
    expect(sources.length).toBeGreaterThan(5);
    // A module of ReScript has its head in its interface.
    const headOf = (name: string) =>
      read(name.endsWith(".res") && existsSync(join(root, `${name}i`)) ? `${name}i` : name);
    expect(sources.filter((name) => !head.test(headOf(name)))).toEqual([]);
  });
});

it(`no test has more than ${testLinesMax} lines`, () => {
  const tests = filesIn(root, ["tests"], /\.(ts|mjs|py)$/);
  const long = tests.filter((name) => read(name).split("\n").length - 1 > testLinesMax);
  expect(long).toEqual([]);
});
