/** The simulator as one file that Node can run, with at most one promise of the sources broken. */
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { build } from "esbuild";
import { setupFolder } from "../../../setup/clone/node.mjs";
import { packageRoot } from "../../../setup/paths.mjs";

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
    sourcemap: "inline",
    logLevel: "silent",
    plugins: mutation === undefined ? [] : [breaking(mutation)],
  });
  return outfile;
}

function breaking({ name, file, find, replace }) {
  const path = join(packageRoot, file);
  const loader = path.endsWith(".ts") ? "ts" : "js";
  return {
    name: "mutation",
    setup({ onLoad, onEnd }) {
      let wasLoaded = false;
      onLoad({ filter: /\.(ts|mjs)$/ }, ({ path: loaded }) => {
        if (loaded !== path) return undefined;
        wasLoaded = true;
        const source = readFileSync(path, "utf8");
        const count = source.split(find).length - 1;
        if (count !== 1) throw new Error(`“${name}” applies ${count} times to ${file}`);
        return { contents: source.replace(find, () => replace), loader };
      });
      onEnd(() => {
        if (!wasLoaded) throw new Error(`“${name}”: ${file} is no part of the simulator`);
      });
    },
  };
}
