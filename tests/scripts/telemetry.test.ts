import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { bundleTelemetry } from "../../scripts/lib/telemetry.mjs";
import { filesIn, graphOf, importsOf } from "../support/imports.js";

const root = resolve(import.meta.dirname, "../..");
const knowsTheSdk = "src-ts/telemetry/otlp.ts";

describe("the bundle of the telemetry", () => {
  const folder = mkdtempSync(join(tmpdir(), "mlx-serving-bundle-"));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "otlp.js");

  it("needs no package, and is made once", async () => {
    writeFileSync(file, 'export { BasicTracerProvider } from "@opentelemetry/sdk-trace-base";\n');
    const { bytes } = await bundleTelemetry(file);
    const text = readFileSync(file, "utf8");
    expect(text.length).toBe(bytes);
    const imported = [...text.matchAll(/\b(?:from|import\()\s*"([^"]+)"/g)].map(
      ([, name]) => name!,
    );
    expect(imported.filter((name) => name.startsWith("@") || name.startsWith("."))).toEqual([]);
    expect(text).toContain("Copyright The OpenTelemetry Authors");
    await bundleTelemetry(file);
    expect(readFileSync(file, "utf8")).toBe(text);
  });
});

describe("what a start without telemetry loads", () => {
  const files = filesIn(root, ["src-ts"], /\.tsx?$/);

  it("has nothing of the SDK: one file imports it", () => {
    const importers = files.filter((file) =>
      /["']@opentelemetry\//.test(readFileSync(join(root, file), "utf8")),
    );
    expect(importers).toEqual([knowsTheSdk]);
  });

  it("does not reach that file by an import that is not late", () => {
    const late = /\bimport\("(\.[^"]+)"\)/g;
    const without = files.map((file) => {
      const text = readFileSync(join(root, file), "utf8");
      return { file, lates: [...text.matchAll(late)].map(([, path]) => path!) };
    });
    const isLate = new Set(
      without.flatMap(({ file, lates }) =>
        lates.map((path) => {
          const [edge] = importsOf(root, [file]).filter(({ target }) =>
            target.endsWith(path.replace(/^[./]+/, "").replace(/\.js$/, ".ts")),
          );
          return `${file} ${edge?.target}`;
        }),
      ),
    );
    const early = importsOf(root, files).filter(
      ({ file, target, typeOnly }) => !typeOnly && !isLate.has(`${file} ${target}`),
    );
    expect(isLate.has(`src-ts/telemetry/telemetry.ts ${knowsTheSdk}`)).toBe(true);
    const graph = graphOf(early);
    const reached = new Set<string>();
    const visit = (file: string): void => {
      if (reached.has(file)) return;
      reached.add(file);
      for (const next of graph.get(file) ?? []) visit(next);
    };
    visit("src-ts/cli/run-server.ts");
    visit("src-ts/index.ts");
    expect(reached.size).toBeGreaterThan(50);
    expect([...reached].filter((file) => file === knowsTheSdk)).toEqual([]);
    expect([...reached]).not.toContain("src-ts/telemetry/telemetry.ts");
  });
});
