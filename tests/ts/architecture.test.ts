import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../../src-ts");

/** What each folder may import, beside itself and packages; `types` ones only as types. */
const allowed: Record<string, { values: string[]; types?: string[] }> = {
  machines: { values: [] },
  protocol: { values: [] },
  encoding: { values: [] },
  worker: { values: ["machines", "encoding"] },
  engine: { values: ["machines", "worker", "encoding", "errors.ts", "failures.ts"] },
  journal: { values: ["worker", "encoding", "errors.ts", "failures.ts"], types: ["engine"] },
  server: {
    values: ["encoding", "engine", "protocol", "errors.ts", "failures.ts", "loopback.ts"],
    types: ["worker"],
  },
  client: { values: [], types: ["protocol"] },
};

interface Import {
  file: string;
  target: string;
  typeOnly: boolean;
}

function importsOf(folder: string): Import[] {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" });
  return files
    .filter((name) => name.endsWith(".ts"))
    .flatMap((name) => {
      const file = join(root, folder, name);
      const source = readFileSync(file, "utf8");
      const pattern = /^(import|export)(\s+type)?[^;"']*?from\s+"(\.[^"]+)"/gm;
      return [...source.matchAll(pattern)].map(([, , type, path]) => ({
        file: relative(root, file),
        target: relative(root, resolve(dirname(file), path!.replace(/\.js$/, ".ts"))),
        typeOnly: type !== undefined,
      }));
    });
}

describe("imports follow the layers", () => {
  for (const [folder, { values, types = [] }] of Object.entries(allowed)) {
    it(folder, () => {
      const imports = importsOf(folder);
      expect(imports.length).toBeGreaterThan(0);
      const forbidden = imports.filter(({ target, typeOnly }) => {
        const [top = ""] = target.split("/");
        if (top === folder || values.includes(top)) return false;
        if (folder === "machines" && target.startsWith("../src-res/")) return false;
        return !(typeOnly && types.includes(top));
      });
      expect(forbidden).toEqual([]);
    });
  }

  it("what browsers get imports nothing of Node", () => {
    const node = readdirSync(join(root, "client"), { encoding: "utf8" })
      .filter((name) => name !== "websocket-node.ts")
      .filter((name) => /from "(node:|ws")/.test(readFileSync(join(root, "client", name), "utf8")));
    expect(node).toEqual([]);
  });
});

describe("regular expressions", () => {
  it("are ours: none is made of what a client sends", () => {
    const sources = ["engine", "protocol", "server", "worker"].flatMap((folder) => {
      const path = join(root, folder);
      const names = readdirSync(path, { recursive: true, encoding: "utf8" });
      return names.filter((name) => name.endsWith(".ts")).map((name) => join(path, name));
    });
    const made = sources.flatMap((path) =>
      [...readFileSync(path, "utf8").matchAll(/\bRegExp\(([^\n]*)/g)].map(([, what]) => what),
    );
    // The one that there is holds a limit of our own.
    expect(made).toEqual([expect.stringContaining("limits.streamIdCharsMax")]);
  });
});
