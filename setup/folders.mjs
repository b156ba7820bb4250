/** Makes folders that people name, which may be anywhere. */
import { existsSync, mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";

/**
 * Makes it and those above that aren't there. Node's own `recursive` never comes back where a folder that is
 * there takes none, as on /proc: it steps back to the parent for every ENOENT, and forward for every EEXIST.
 *
 * @param {string} path
 * @param {number} [mode] Of each folder that is made.
 * @throws {NodeJS.ErrnoException} The system's error.
 */
export function makeFolder(path, mode) {
  const missing = [];
  for (let at = resolve(path); !existsSync(at); at = dirname(at)) missing.unshift(at);
  for (const folder of missing) makeOne(folder, mode);
  // What is there may be no folder, or have come in between: the system says so.
  if (missing.length === 0) mkdirSync(path, { recursive: true, mode });
}

function makeOne(folder, mode) {
  try {
    mkdirSync(folder, { mode });
  } catch (error) {
    // Made in between; a link to nowhere is none.
    if (error.code !== "EEXIST" || !existsSync(folder)) throw error;
  }
}
