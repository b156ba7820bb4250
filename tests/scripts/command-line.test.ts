/** The bundle of the command line: a start reads little, and what is built is of these sources. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { basename, dirname, join } from "node:path";
import type { Metafile } from "esbuild";
import { beforeAll, expect, it } from "vitest";
import { bundleCommandLine } from "../../scripts/lib/command-line.mjs";
import { commandLine, packageRoot } from "../../setup/paths.mjs";

let outputs: Metafile["outputs"];
beforeAll(async () => {
  outputs = (await bundleCommandLine()).metafile.outputs;
});

const main = "dist/src-ts/cli/main.js";
const pathOf = (source: string) => {
  const found = Object.keys(outputs).find((path) => outputs[path]!.entryPoint === source);
  if (found === undefined) throw new Error(`${source} is no entry`);
  return found;
};

/** What is read before any of these sources runs. */
function readFor(...sources: readonly string[]): { files: Set<string>; packages: Set<string> } {
  const files = new Set<string>();
  const packages = new Set<string>();
  const read = (path: string) => {
    if (files.has(path)) return;
    files.add(path);
    for (const { path: imported, kind, external } of outputs[path]!.imports) {
      if (kind !== "import-statement") continue;
      if (external === true) packages.add(imported);
      else read(imported);
    }
  };
  for (const source of sources) read(pathOf(source));
  return { files, packages };
}

it("starts a server with a few files in place of one for each source", () => {
  const { files } = readFor(main, "dist/src-ts/cli/serve.js", "dist/src-ts/cli/run-server.js");
  const sources = [...files].flatMap((path) => Object.keys(outputs[path]!.inputs));
  expect(sources.length).toBeGreaterThan(200);
  expect(files.size).toBeLessThan(25);
  expect(sources.filter((path) => path.includes("node_modules"))).toEqual([]);
});

it("loads a server's packages for no other subcommand", () => {
  const { packages } = readFor(main, "dist/src-ts/cli/keys.js", "dist/src-ts/cli/models.js");
  expect(packages).toContain("commander");
  expect(packages).not.toContain("fastify");
  expect(packages).not.toContain("prom-client");
});

it("takes from outside what the package depends on, and nothing else", () => {
  const { dependencies } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8"));
  const outside = Object.values(outputs)
    .flatMap(({ imports }) => imports)
    .filter(({ external }) => external === true)
    .map(({ path }) => path);
  expect(outside).toContain("fastify");
  const packageOf = (path: string) => /^(?:@[^/]+\/)?[^/]+/.exec(path)![0];
  const unknown = outside.filter(
    (path) => !isBuiltin(path) && dependencies[packageOf(path)] === undefined,
  );
  expect(unknown).toEqual([]);
});

it("is built of what the compiler has written", () => {
  expect(existsSync(commandLine)).toBe(true);
  const built = readdirSync(dirname(commandLine)).sort();
  // Chunks are named by their content.
  expect(built).toEqual(
    Object.keys(outputs)
      .map((path) => basename(path))
      .sort(),
  );
});
