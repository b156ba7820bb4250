/** A promise broken on purpose in a bundle: one string of one source is another. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../setup/paths.mjs";

/** @typedef {{ name: string, file: string, find: string, replace: string }} Mutation */

/**
 * The build fails when the mutation does not apply exactly once, or its file is no part of the bundle.
 *
 * @param {Mutation} mutation
 * @returns {import("esbuild").Plugin}
 */
export function breaking({ name, file, find, replace }) {
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
        if (!wasLoaded) throw new Error(`“${name}”: ${file} is no part of the bundle`);
      });
    },
  };
}
