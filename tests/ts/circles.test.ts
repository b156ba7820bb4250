/** How circles of imports are found, for `architecture.test.ts`. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { circlesIn, filesIn, graphOf, importsOf, moduleReferences } from "../support/imports.js";

describe("the search for circles", () => {
  const folder = mkdtempSync(join(tmpdir(), "mlx-serving-imports-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const write = (name: string, text: string) => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  };

  it("finds them through types, several lines, other folders and what is imported late", () => {
    write("a.ts", 'import type { B } from "./in/b.js";\n');
    write("in/b.ts", 'import {\n  type C,\n  c,\n} from "./c.js";\n');
    write("in/c.ts", 'export * from "../d.js";\n');
    write("d.ts", 'const late = () => import("./a.js");\n');
    write("e.ts", 'import "./a.js";\nimport { type A } from "./a.js";\n');
    const found = importsOf(folder, filesIn(folder, ["."], /\.ts$/));
    expect(circlesIn(graphOf(found))).toEqual([["a.ts", "d.ts", "in/b.ts", "in/c.ts"]]);
    expect(found.filter(({ typeOnly }) => typeOnly).map(({ file }) => file)).toEqual([
      "a.ts",
      "e.ts",
    ]);
  });

  it("finds them among modules, and takes no constructor for one", () => {
    write("res/A.res", "let a = B.b\n// C.c\n");
    write("res/B.resi", "let b: C.t\n");
    write("res/B.res", "open C\n");
    write("res/C.res", "let c = Some(A)\n");
    expect(circlesIn(graphOf(moduleReferences(join(folder, "res"))))).toEqual([]);
    write("res/C.resi", "type t = A.t\n");
    expect(circlesIn(graphOf(moduleReferences(join(folder, "res"))))).toEqual([["A", "B", "C"]]);
  });
});
