/**
 * Bundling of the command line: what a start reads are then a few files in place of some 250, each of which
 * Node finds, reads and links by itself. npm packages stay what they are, beside it.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { build } from "esbuild";
import { commandLine, packageRoot } from "../../setup/paths.mjs";

/** The compiled command line; its subcommands are loaded when they are wanted, and so are chunks here too. */
export const entry = join(packageRoot, "dist", "src-ts", "cli", "main.js");
const folder = dirname(commandLine);

/** @returns {Promise<{ files: number, ms: number }>} */
export async function buildCommandLine() {
  const begin = performance.now();
  const { outputFiles } = await bundleCommandLine();
  // Chunks are named by their content: those of the build before would stay.
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  // Last what says that all is there.
  for (const { path, contents } of outputFiles.sort((a, b) => isEntry(a) - isEntry(b)))
    writeFileSync(path, contents);
  const files = outputFiles.filter(({ path }) => path.endsWith(".js")).length;
  return { files, ms: Math.round(performance.now() - begin) };
}

const isEntry = ({ path }) => (path === commandLine ? 1 : 0);

/** The bundle in memory, and what is in it (paths are relative to the package). */
export function bundleCommandLine() {
  return build({
    absWorkingDir: packageRoot,
    entryPoints: [relative(packageRoot, entry)],
    outdir: folder,
    write: false,
    metafile: true,
    bundle: true,
    splitting: true,
    packages: "external",
    platform: "node",
    format: "esm",
    target: "node20.11",
    // What the compiler has left of the sources' lines leads on to them.
    sourcemap: true,
    sourcesContent: false,
    logLevel: "warning",
  });
}
