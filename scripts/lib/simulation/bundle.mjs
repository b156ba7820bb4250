/** The simulator as one file that Node can run, with at most one promise of the sources broken. */
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { build } from "esbuild";
import { setupFolder } from "../../../setup/clone/node.mjs";
import { packageRoot } from "../../../setup/paths.mjs";
import { breaking } from "../breaking.mjs";

/**
 * @param {string} name Of the file that is made.
 * @param {import("../../../tests/simulation/mutations.mjs").Mutation} [mutation]
 * @returns {Promise<string>} Its path. Rejects when the mutation does not apply exactly once.
 */
export async function bundleSimulator(name, mutation) {
  const outfile = join(setupFolder, "simulation", `${name}.mjs`);
  mkdirSync(dirname(outfile), { recursive: true });
  await build({
    entryPoints: [join(packageRoot, "tests", "simulation", "main.ts")],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    packages: "external",
    // Of a mutation nobody reads a stack, and there are many.
    sourcemap: mutation === undefined ? "inline" : false,
    logLevel: "silent",
    plugins: mutation === undefined ? [] : [breaking(mutation)],
  });
  return outfile;
}
