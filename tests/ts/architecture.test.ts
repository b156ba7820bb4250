import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../../src-ts");

/** What each folder may import, beside itself and packages; `types` ones only as types. */
const allowed: Record<string, { values: string[]; types?: string[] }> = {
  machines: { values: [] },
  protocol: { values: [] },
  worker: { values: ["machines", "crc32.ts"] },
  engine: { values: ["machines", "worker", "errors.ts"] },
  journal: { values: ["worker", "errors.ts", "crc32.ts"], types: ["engine"] },
  server: { values: ["engine", "protocol", "errors.ts", "loopback.ts"], types: ["worker"] },
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

  it("what is on disk is not said in the words of the link", () => {
    const messages = importsOf("journal").filter(({ target }) => target === "worker/messages.ts");
    expect(messages).toEqual([]);
  });

  it("what browsers get imports nothing of Node", () => {
    const node = readdirSync(join(root, "client"), { encoding: "utf8" })
      .filter((name) => name !== "websocket-node.ts")
      .filter((name) => /from "(node:|ws")/.test(readFileSync(join(root, "client", name), "utf8")));
    expect(node).toEqual([]);
  });
});
