/** The search as one file that Node can run: of the orchestrator as it ships, or with one of its promises broken. */
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { build } from "esbuild";
import { setupFolder } from "../../../setup/clone/node.mjs";
import { packageRoot } from "../../../setup/paths.mjs";
import { breaking } from "../breaking.mjs";

const searchFolder = join(packageRoot, "tests", "machines", "exhaustive");

/**
 * @param {string} name Of the file that is made.
 * @param {string} entry In `tests/machines/exhaustive`.
 * @param {import("../breaking.mjs").Mutation} [mutation]
 * @returns {Promise<string>} Its path. Rejects when the mutation does not apply exactly once.
 */
export async function bundleSearch(name, entry, mutation) {
  const outfile = join(setupFolder, "search", `${name}.mjs`);
  mkdirSync(dirname(outfile), { recursive: true });
  await build({
    entryPoints: [join(searchFolder, entry)],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "silent",
    plugins: mutation === undefined ? [liberties] : [liberties, breaking(mutation)],
  });
  return outfile;
}

/** `Placement` asks the search for a plan: see `liberties.ts`. */
const liberties = {
  name: "liberties",
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/Scheduler\.res\.mjs$/ }, ({ importer }) =>
      importer === join(packageRoot, "src-res", "Placement.res.mjs")
        ? { path: join(searchFolder, "liberties.ts") }
        : undefined,
    );
  },
};
