/** Pages that have blocks, and a run of all of them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setupFolder } from "../../../setup/clone/node.mjs";
import { packageRoot } from "../../../setup/paths.mjs";
import { ensureLockedEnvironment } from "../locked-environment.mjs";
import { repositoryPages } from "../site/stage.mjs";
import { blocksOf } from "./blocks.mjs";
import { runPage } from "./run.mjs";

/** @returns {import("./blocks.mjs").Block[]} */
export const blocksOfPage = (path) => blocksOf(path, readFileSync(join(packageRoot, path), "utf8"));

/** Folder of an interpreter that has the official Python client. */
export function pythonPrograms() {
  const folder = join(setupFolder, "openai-python");
  return ensureLockedEnvironment({ folder, requirements: "tests/e2e/requirements.txt" });
}

/**
 * @param {readonly string[]} given Pages; none: all.
 * @param {(line: string) => void} say
 * @returns {Promise<number>} How many pages failed.
 */
export async function runPages(given, say) {
  const paths =
    given.length > 0 ? given : repositoryPages().filter((path) => blocksOfPage(path).length > 0);
  const python = await pythonPrograms();
  let failures = 0;
  for (const path of paths) {
    const begin = performance.now();
    try {
      const { ran, skipped } = await runPage(path, {
        python,
        onBlock: ({ page, line }, what) => say(`  ${page}:${line} ${what}`),
      });
      say(
        `✓ ${path}: ${ran} blocks, ${skipped} not run, ${Math.round(performance.now() - begin)} ms`,
      );
    } catch (error) {
      failures += 1;
      say(`✗ ${path}: ${error.message}`);
    }
  }
  return failures;
}
