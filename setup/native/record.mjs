/**
 * What is known of a native part in its home: `<part>.json` says what it was built from or failed with,
 * `<part>.installed` which files it has, `<part>.failed` why there is none (python/mlx_serving/native
 * reads that). Starts nothing.
 */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../paths.mjs";
import { hasHeaders } from "../site-packages.mjs";
import {
  isFresh,
  listInputs,
  readUnlessCut,
  removeStamp,
  takeStamp,
  writeStamp,
} from "../stamp.mjs";
import { findCompiler } from "./tools.mjs";

const builtKey = "built";
const builtWithTestsKey = "built with tests";

/**
 * @typedef {import("./parts.mjs").NativePart} NativePart
 * @typedef {{ env?: NodeJS.ProcessEnv | undefined, tests?: boolean | undefined }} RecordOptions
 */

const stampOf = (part, home) => join(home, `${part.id}.json`);
const failureOf = (part, home) => join(home, `${part.id}.failed`);
const installedOf = (part, home) => join(home, `${part.id}.installed`);
const inputsOf = (part) => listInputs(packageRoot, part.inputs);

/** What a failure is remembered for: another compiler, or headers that are there now, are a reason to try again. */
function failureKey(env) {
  return `failed with ${findCompiler(env) ?? "no compiler"}${hasHeaders(env) ? "" : ", no headers"}`;
}

/** What may be otherwise soon, such as the network, is tried again in the next hour. */
const passingKey = (env) => `${failureKey(env)} at ${new Date().toISOString().slice(0, 13)} h`;

/**
 * True when there is nothing to do: the part is built from the present sources, or it could not be and
 * nothing that matters has changed since.
 * @param {NativePart} part
 * @param {string} home
 * @param {RecordOptions} [options] `tests`: built with its tests.
 * @returns {boolean}
 */
export function isSettled(part, home, { env = process.env, tests = false } = {}) {
  const failed = failureIn(part, home) !== null;
  if (!failed && !isInstalled(part, home)) return false;
  const built = [builtWithTestsKey, ...(tests ? [] : [builtKey])];
  const keys = failed ? [failureKey(env), passingKey(env)] : built;
  const inputs = inputsOf(part);
  return keys.some((key) => isFresh(stampOf(part, home), packageRoot, inputs, key));
}

/** Whether what was installed is there as it was: a removed or truncated library is to be made again. */
function isInstalled(part, home) {
  const files = readUnlessCut(installedOf(part, home));
  if (files === undefined) return false;
  return Object.entries(files).every(
    ([file, size]) => statSync(file, { throwIfNoEntry: false })?.size === size,
  );
}

/**
 * Why the part is not there, as the last attempt ended; null: it is, or nobody has tried.
 * @param {NativePart} part
 * @param {string} home
 * @returns {string | null}
 */
export function failureIn(part, home) {
  const file = failureOf(part, home);
  return existsSync(file) ? readFileSync(file, "utf8").trim() : null;
}

/**
 * To be called before a build: what the result will say of itself are the inputs of now.
 * @param {NativePart} part
 * @param {string} home
 * @param {RecordOptions} [options]
 */
export function beginBuild(part, home, { tests = false } = {}) {
  removeStamp(stampOf(part, home));
  return takeStamp(packageRoot, inputsOf(part), tests ? builtWithTestsKey : builtKey);
}

/**
 * @param {NativePart} part
 * @param {string} home
 * @param {{ files: string[], stamp: import("../stamp.mjs").Stamp }} built `files`: what was installed;
 *   `stamp`: what `beginBuild` gave.
 */
export function recordBuilt(part, home, { files, stamp }) {
  const sizes = Object.fromEntries(files.map((file) => [file, statSync(file).size]));
  const draft = `${installedOf(part, home)}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(sizes));
  renameSync(draft, installedOf(part, home));
  rmSync(failureOf(part, home), { force: true });
  writeStamp(stampOf(part, home), stamp);
}

/**
 * So that the next start doesn't try the same again, and the worker can say why the part is off. Where
 * nothing can be written the next start tries again.
 * @param {NativePart} part
 * @param {string} home
 * @param {{ env?: NodeJS.ProcessEnv | undefined, reason: string, passing: boolean }} failure
 */
export function recordFailure(part, home, { env = process.env, reason, passing }) {
  try {
    mkdirSync(home, { recursive: true });
    writeFileSync(failureOf(part, home), `${reason}\n`);
    const key = passing ? passingKey(env) : failureKey(env);
    writeStamp(stampOf(part, home), takeStamp(packageRoot, inputsOf(part), key));
  } catch (error) {
    if (error.code === undefined) throw error;
  }
}
