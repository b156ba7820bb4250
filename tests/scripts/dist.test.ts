import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { orphansIn } from "../../scripts/lib/dist.mjs";

const root = mkdtempSync(join(tmpdir(), "mlx-serving-dist-"));
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(...names: string[]): void {
  for (const name of names) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), "");
  }
}

it("finds what is left of sources that were moved, and nothing else", () => {
  write("src-ts/a.ts", "setup/b.mjs", "src-res/M.gen.ts", "src-res/M.res.mjs");
  write("dist/src-ts/a.js", "dist/src-ts/a.d.ts", "dist/src-ts/a.js.map", "dist/setup/b.mjs");
  write("dist/setup/b.d.mts", "dist/setup/b.mjs.map", "dist/src-res/M.gen.js");
  write("dist/src-res/M.gen.d.ts", "dist/src-res/M.res.mjs", "dist/src-res/M.res.d.mts");
  write("dist/console/main-1.js", "dist/cli/main.js", "dist/cli/main.js.map");
  expect(orphansIn(root)).toEqual([]);
  write("dist/src-ts/old.js", "dist/src-ts/old.d.ts", "dist/scripts/lib/b.mjs", "dist/a.js.map");
  expect(orphansIn(root).sort()).toEqual([
    "dist/a.js.map",
    "dist/scripts/lib/b.mjs",
    "dist/src-ts/old.d.ts",
    "dist/src-ts/old.js",
  ]);
});
