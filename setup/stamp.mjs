/**
 * Remembers what a step was done with, so that it is not done twice: a stamp holds the size, time and
 * hash of every input. Sizes and times are compared first; a hash is taken only where they differ.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";

/**
 * @typedef {{
 *   key: string,
 *   files: Record<string, { size: number, mtimeMs: number, hash: string }>,
 * }} Stamp `key`: everything that matters besides files, such as versions.
 */

/**
 * All files under `paths` (files or folders; missing ones count as absent), relative to `root`.
 * @param {string} root
 * @param {readonly string[]} paths
 * @param {(name: string) => boolean} [wanted] Asked for files in folders, with their path.
 * @returns {string[]}
 */
export function listInputs(root, paths, wanted = () => true) {
  const found = [];
  for (const path of paths) {
    const stat = statSync(join(root, path), { throwIfNoEntry: false });
    if (stat === undefined) continue;
    if (stat.isDirectory()) collect(root, join(root, path), wanted, found);
    else found.push(path);
  }
  return found.sort();
}

function collect(root, folder, wanted, found) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) collect(root, path, wanted, found);
    else if (wanted(path)) found.push(relative(root, path));
  }
}

/**
 * @param {string} root
 * @param {readonly string[]} files
 * @param {string} [key]
 * @returns {Stamp}
 */
export function takeStamp(root, files, key = "") {
  return {
    key,
    files: Object.fromEntries(files.map((file) => [file, describe(join(root, file))])),
  };
}

function describe(path) {
  const { size, mtimeMs } = statSync(path);
  return { size, mtimeMs, hash: hashFile(path) };
}

function hashFile(path) {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

/**
 * True when the stamp at `stampFile` was written for exactly these inputs.
 * @param {string} stampFile
 * @param {string} root
 * @param {readonly string[]} files
 * @param {string} [key]
 * @returns {boolean}
 */
export function isFresh(stampFile, root, files, key = "") {
  const stamp = readUnlessCut(stampFile);
  if (stamp === undefined || stamp.key !== key) return false;
  if (Object.keys(stamp.files).length !== files.length) return false;
  let touched = false;
  for (const file of files) {
    const known = stamp.files[file];
    const stat = statSync(join(root, file), { throwIfNoEntry: false });
    if (known === undefined || stat === undefined || stat.size !== known.size) return false;
    if (stat.mtimeMs === known.mtimeMs) continue;
    if (hashFile(join(root, file)) !== known.hash) return false;
    touched = true;
  }
  if (touched) refresh(stampFile, takeStamp(root, files, key));
  return true;
}

/** Only saves the next comparison its hashes: where nothing can be written it takes them again. */
function refresh(stampFile, stamp) {
  try {
    writeStamp(stampFile, stamp);
  } catch (error) {
    if (error.code === undefined) throw error;
  }
}

/**
 * What a file of JSON says; undefined where there is none, or not the whole of it.
 * @param {string} file
 * @returns {any}
 */
export function readUnlessCut(file) {
  if (!existsSync(file)) return undefined;
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    // Cut short by a crash: as if it were not there.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/**
 * @param {string} stampFile
 * @param {Stamp} stamp
 */
export function writeStamp(stampFile, stamp) {
  mkdirSync(dirname(stampFile), { recursive: true });
  const draft = `${stampFile}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(stamp));
  renameSync(draft, stampFile);
}

/** @param {string} stampFile */
export function removeStamp(stampFile) {
  rmSync(stampFile, { force: true });
}
