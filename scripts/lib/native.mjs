/**
 * Builds the native parts into the private Python environment. Optional: whoever calls this goes on
 * without them, so what fails becomes one line, which is also left in the environment for the worker to
 * report.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { acquireLock } from "./lock.mjs";
import { nativeParts } from "./native-parts.mjs";
import { checkCompiler, ensureCmake, ensurePinned, findCompiler } from "./native-tools.mjs";
import { isClone, packageRoot, pythonProject } from "./paths.mjs";
import { run, SetupError } from "./process.mjs";
import { environmentFolder, interpreterOf } from "./python.mjs";
import { isFresh, listInputs, removeStamp, takeStamp, writeStamp } from "./stamp.mjs";

const jobsMax = 4;
const builtKey = "built";
const builtWithTestsKey = "built with tests";

/**
 * @typedef {import("./native-parts.mjs").NativePart} NativePart
 * @typedef {import("./python.mjs").ToolOptions & { tests?: boolean, build?: string }} BuildOptions
 *   `tests`: the C++ tests and benchmarks too, for `ctest --test-dir native/build`; `build`: the folder to
 *   build in; default: in a clone a `build` beside each source, else one in the Python environment.
 */

const stampOf = (part, env) => join(environmentFolder(env), `${part.id}.json`);
/** Read by python/mlx_serving/native/loader.py. */
const failureOf = (part, env) => join(environmentFolder(env), `${part.id}.failed`);
const installedOf = (part, env) => join(environmentFolder(env), `${part.id}.installed`);
const inputsOf = (part) => listInputs(packageRoot, part.inputs);
const partsFor = (env = process.env) => nativeParts.filter((part) => part.fits(env));

/** What a failure is remembered for: another compiler is a reason to try again. */
const failureKey = (env) => `failed with ${findCompiler(env) ?? "no compiler"}`;

/**
 * True when there is nothing to do: every part is built from the present sources, or it could not be and
 * nothing that matters has changed since. Quick: starts nothing.
 * @param {NodeJS.ProcessEnv} [env]
 * @param {{ tests?: boolean }} [options]
 * @returns {boolean}
 */
export function isNativeSettled(env = process.env, { tests = false } = {}) {
  return !isClone || partsFor(env).every((part) => isSettled(part, env, tests));
}

function isSettled(part, env, tests) {
  const failed = existsSync(failureOf(part, env));
  if (!failed && !isInstalled(part, env)) return false;
  const keys = failed ? [failureKey(env)] : [builtWithTestsKey, ...(tests ? [] : [builtKey])];
  const inputs = inputsOf(part);
  return keys.some((key) => isFresh(stampOf(part, env), packageRoot, inputs, key));
}

/** Whether what was installed is there as it was: a removed or truncated library is to be made again. */
function isInstalled(part, env) {
  const list = installedOf(part, env);
  if (!existsSync(list)) return false;
  return Object.entries(JSON.parse(readFileSync(list, "utf8"))).every(
    ([file, size]) => statSync(file, { throwIfNoEntry: false })?.size === size,
  );
}

function noteInstalled(part, folder, env) {
  const manifest = join(folder, "install_manifest.txt");
  const files = existsSync(manifest) ? readFileSync(manifest, "utf8").trim().split("\n") : [];
  const sizes = files.map((file) => [file, statSync(file).size]);
  writeFileSync(installedOf(part, env), JSON.stringify(Object.fromEntries(sizes)));
}

/**
 * True when every part that is of use here is there. Quick: starts nothing.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {boolean}
 */
export function isNativeBuilt(env = process.env) {
  return isNativeSettled(env) && partsFor(env).every((part) => !existsSync(failureOf(part, env)));
}

/**
 * Builds and installs the parts that are of use here. Rejects only with AbortError, after `signal`.
 * @param {BuildOptions} [options]
 * @returns {Promise<{ id: string, reason: string | null }[]>} For each part why it could not be built, one
 *   line, or null.
 */
export async function buildNative(options = {}) {
  const results = [];
  for (const part of partsFor(options.env)) {
    options.detail?.(part.id);
    results.push({ id: part.id, reason: await build(part, options) });
  }
  return results;
}

async function build(part, options) {
  const { env, tests = false } = options;
  try {
    const python = interpreterOf(environmentFolder(env));
    if (!existsSync(python)) throw new SetupError("there is no Python environment yet (npm start)");
    const key = tests ? builtWithTestsKey : builtKey;
    const stamp = takeStamp(packageRoot, inputsOf(part), key);
    removeStamp(stampOf(part, env));
    await checkCompiler(options);
    await compile(part, python, options);
    rmSync(failureOf(part, env), { force: true });
    writeStamp(stampOf(part, env), stamp);
    return null;
  } catch (error) {
    if (options.signal?.aborted) throw error;
    const reason = reasonOf(error);
    remember(part, reason, env);
    return reason;
  }
}

async function compile(part, python, options) {
  const { tests = false, build: root, ...tools } = options;
  const source = join(packageRoot, part.source);
  const folder = buildFolder(part, root ?? (isClone ? undefined : buildsOf(tools.env)));
  const { cmake, configureArgs } = await ensureCmake(python, tools);
  const pinned = await ensurePinned(part.pin, python, tools);
  mkdirSync(folder, { recursive: true });
  const release = await acquireLock(join(folder, "lock"), tools);
  try {
    // What an earlier run found may be another Python or compiler by now; the objects are kept.
    rmSync(join(folder, "CMakeCache.txt"), { force: true });
    const settings = {
      CMAKE_BUILD_TYPE: "Release",
      Python_EXECUTABLE: python,
      ...part.settings(pinned, tests),
    };
    const defines = Object.entries(settings).map(([name, value]) => `-D${name}=${value}`);
    await run(cmake, ["-S", source, "-B", folder, ...configureArgs, ...defines], tools);
    const jobs = Math.min(availableParallelism(), jobsMax);
    await run(cmake, ["--build", folder, "--parallel", String(jobs)], tools);
    await run(cmake, ["--install", folder], tools);
    await checkLoads(part, python, tools);
    noteInstalled(part, folder, tools.env);
  } finally {
    release();
  }
}

/** An installed package may lie where nothing can be written. */
const buildsOf = (env) => join(environmentFolder(env), "build");

function buildFolder(part, root) {
  return root === undefined ? join(packageRoot, part.source, "build") : join(root, part.id);
}

async function checkLoads(part, python, options) {
  const asked = { MLX_SERVING_NATIVE: "on", MLX_SERVING_NATIVE_PARTS: "all" };
  const env = { ...(options.env ?? process.env), ...asked, PYTHONPATH: pythonProject };
  const reason = (await run(python, ["-c", part.check], { ...options, env })).trim();
  if (reason !== "") throw new SetupError(reason);
}

/**
 * What went wrong, in one line: our own sentence, or the line of the failed program's output that says it.
 * @param {unknown} error
 * @returns {string}
 */
export function reasonOf(error) {
  if (!(error instanceof SetupError)) return firstLine(error);
  const said = cmakeError(error.tail) ?? error.tail.find((line) => /\berror\b:/i.test(line));
  return firstLine(said ?? error.message);
}

/** CMake wraps its messages: all lines of the first one as one. */
function cmakeError(lines) {
  const start = lines.findIndex((line) => line.startsWith("CMake Error"));
  if (start === -1) return undefined;
  const rest = lines.slice(start + 1);
  const end = rest.findIndex((line) => !line.startsWith("  "));
  const text = rest.slice(0, end === -1 ? rest.length : end).map((line) => line.trim());
  return text.length > 0 ? text.join(" ") : lines[start];
}

function firstLine(what) {
  const text = what instanceof Error ? what.message : String(what);
  return text.trim().split("\n")[0];
}

/** So that the next set-up doesn't try the same again, and the worker can say why the part is off. */
function remember(part, reason, env) {
  if (!existsSync(environmentFolder(env))) return;
  writeFileSync(failureOf(part, env), `${reason}\n`);
  writeStamp(stampOf(part, env), takeStamp(packageRoot, inputsOf(part), failureKey(env)));
}

/**
 * @param {{ id: string, reason: string | null }[]} results
 * @returns {{ built: string[], failures: string[] }} Names of what is there now, and lines for the user
 *   about the rest.
 */
export function outcomeOf(results) {
  const built = results.filter(({ reason }) => reason === null).map(({ id }) => id);
  return { built, failures: failureLines(results) };
}

/**
 * The failures as lines for the user, one for each reason.
 * @param {{ id: string, reason: string | null }[]} results
 * @returns {string[]}
 */
export function failureLines(results) {
  const byReason = new Map();
  for (const { id, reason } of results) {
    if (reason !== null) byReason.set(reason, [...(byReason.get(reason) ?? []), id]);
  }
  return [...byReason].map(([reason, ids]) => `Not built: ${ids.join(", ")}: ${reason}`);
}
