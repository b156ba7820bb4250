/** How much of a download has arrived: uv says nothing about it unless it owns the terminal. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/**
 * Bytes of the newest file with this ending that uv is unpacking into its cache; undefined when there
 * is none. A hint for people: it looks into a folder whose layout is uv's own.
 * @param {string} cache What `uv cache dir` says.
 * @param {string} ending Such as `.gguf`.
 * @returns {number | undefined}
 */
export function bytesArrived(cache, ending) {
  let newest;
  for (const folder of list(cache).filter((name) => name.startsWith(".tmp"))) {
    for (const name of listDeep(join(cache, folder)).filter((path) => path.endsWith(ending))) {
      const stat = statSync(join(cache, folder, name), { throwIfNoEntry: false });
      if (stat !== undefined && !(newest?.mtimeMs > stat.mtimeMs)) newest = stat;
    }
  }
  return newest?.size;
}

const list = (folder) => readOrNothing(() => readdirSync(folder));
const listDeep = (folder) =>
  readOrNothing(() => readdirSync(folder, { recursive: true }).map(String));

/** uv moves and removes these folders while we look. */
function readOrNothing(read) {
  try {
    return read();
  } catch (error) {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
    throw error;
  }
}
