/**
 * Builds the native parts for the private Python environment. Optional: whoever calls this goes on
 * without them, so what fails becomes one line, which is also left beside them for the worker to report.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { delimiter, join } from "node:path";
import { makeFolder } from "../folders.mjs";
import { acquireLock } from "../lock.mjs";
import { isClone, packageRoot } from "../paths.mjs";
import { run, SetupError } from "../process.mjs";
import { environmentFolder, interpreterOf } from "../python.mjs";
import { isKeptApart, nativeHome, pythonPath } from "./home.mjs";
import { nativeParts } from "./parts.mjs";
import { isPassing, reasonOf } from "./reasons.mjs";
import { beginBuild, failureIn, isSettled, recordBuilt, recordFailure } from "./record.mjs";
import { checkCompiler, ensureCmake, ensurePinned } from "./tools.mjs";

const jobsMax = 4;

/**
 * @typedef {import("./parts.mjs").NativePart} NativePart
 * @typedef {import("./reasons.mjs").Result} Result
 * @typedef {{ only?: readonly string[] | undefined }} Choice `only`: ids; default: all that are of use here.
 * @typedef {import("../python.mjs").ToolOptions & Choice & { tests?: boolean, build?: string }} BuildOptions
 *   `tests`: the C++ tests and benchmarks too, for `ctest --test-dir native/build`; `build`: the folder to
 *   build in; default: in a clone a `build` beside each source, else one of their home that is removed
 *   afterwards.
 */

/**
 * @param {NodeJS.ProcessEnv | undefined} env
 * @param {Choice} choice
 */
function partsFor(env = process.env, { only } = {}) {
  return nativeParts.filter(
    ({ id, fits }) => (only === undefined || only.includes(id)) && fits(env),
  );
}

/**
 * True when there is nothing to do: every part is built from the present sources, or it could not be and
 * nothing that matters has changed since. Quick: starts nothing.
 * @param {NodeJS.ProcessEnv} [env]
 * @param {Choice & { tests?: boolean }} [options]
 * @returns {boolean}
 */
export function isNativeSettled(env = process.env, options = {}) {
  return unsettled(env, options).length === 0;
}

function unsettled(env = process.env, { only, tests = false }) {
  const home = nativeHome(env);
  return partsFor(env, { only })
    .filter((part) => !isSettled(part, home, { env, tests }))
    .map(({ id }) => id);
}

/**
 * Why parts that are of use here are not there, as the last attempt ended or as nobody has tried. Quick.
 * @param {NodeJS.ProcessEnv} [env]
 * @param {Choice} [options]
 * @returns {Result[]}
 */
export function nativeResults(env = process.env, options = {}) {
  const home = nativeHome(env);
  return partsFor(env, options).map((part) => {
    const unbuilt = isSettled(part, home, { env }) ? null : "it is not built";
    return { id: part.id, reason: failureIn(part, home) ?? unbuilt };
  });
}

/**
 * True when every part that is of use here is there. Quick: starts nothing.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {boolean}
 */
export function isNativeBuilt(env = process.env) {
  return nativeResults(env).every(({ reason }) => reason === null);
}

/**
 * What a start does: builds what is to be built, once, however many start at the same time. Rejects only
 * with AbortError, after `signal`.
 * @param {BuildOptions} [options]
 * @returns {Promise<Result[]>}
 */
export async function ensureNative(options = {}) {
  const { env, only, tests } = options;
  if (isNativeSettled(env, { only, tests })) return nativeResults(env, { only });
  return alone(options, async () => {
    const made = await buildAll({ ...options, only: unsettled(env, { only, tests }) });
    return nativeResults(env, { only }).map(
      (known) => made.find(({ id }) => id === known.id) ?? known,
    );
  });
}

/**
 * Builds and installs the parts that are of use here, whether they are there or not. Rejects only with
 * AbortError, after `signal`.
 * @param {BuildOptions} [options]
 * @returns {Promise<Result[]>} For each part why it could not be built, one line, or null.
 */
export async function buildNative(options = {}) {
  return alone(options, () => buildAll(options));
}

/** While nobody else builds there. */
async function alone(options, work) {
  const { env, signal } = options;
  const all = (reason) => partsFor(env, options).map(({ id }) => ({ id, reason }));
  if (!existsSync(interpreterOf(environmentFolder(env))))
    return all("there is no Python environment yet (npm start)");
  const home = nativeHome(env);
  if (isKeptApart(env) && home.includes(delimiter))
    return all(`Python finds no modules in ${home}: its path must have no “${delimiter}” in it`);
  const onWait = (holder) => options.detail?.(`waiting for ${holder}, which builds them`);
  let release = () => {};
  try {
    release = await acquireLock(join(home, "native.lock"), { signal, onWait });
    return await work();
  } catch (error) {
    // What has no code is a mistake of ours.
    if (signal?.aborted || error.code === undefined) throw error;
    return all(`${home} can't be written (${error.code})`);
  } finally {
    release();
  }
}

async function buildAll(options) {
  const { env } = options;
  const parts = partsFor(env, options);
  const home = nativeHome(env);
  const root = options.build ?? (isClone ? undefined : freshFolder(home));
  const results = [];
  for (const [index, part] of parts.entries()) {
    const detail = (text) => options.detail?.(`${index + 1}/${parts.length} ${part.id}${text}`);
    detail("");
    const folder =
      root === undefined ? join(packageRoot, part.source, "build") : join(root, part.id);
    results.push({ id: part.id, reason: await build(part, home, { ...options, detail, folder }) });
  }
  if (root !== options.build) rmSync(root, { recursive: true, force: true });
  return results;
}

/** An installed package may lie where nothing can be written; what an interrupted build left is of no use. */
function freshFolder(home) {
  const names = existsSync(home) ? readdirSync(home) : [];
  for (const name of names.filter((one) => one.startsWith("build-")))
    rmSync(join(home, name), { recursive: true, force: true });
  return join(home, `build-${process.pid}`);
}

async function build(part, home, options) {
  const { env, tests } = options;
  try {
    const python = interpreterOf(environmentFolder(env));
    const stamp = beginBuild(part, home, { tests });
    await checkCompiler(options);
    const files = await compile(part, home, python, options);
    recordBuilt(part, home, { files, stamp });
    return null;
  } catch (error) {
    if (options.signal?.aborted) throw error;
    const reason = reasonOf(error);
    recordFailure(part, home, { env, reason, passing: isPassing(error) });
    return reason;
  }
}

/** @returns {Promise<string[]>} The files that were installed. */
async function compile(part, home, python, options) {
  const { tests = false, folder, only: _, build: __, ...asked } = options;
  const tools = { ...asked, env: unstaged(asked.env) };
  const { cmake, configureArgs } = await ensureCmake(python, tools);
  const pinned = await ensurePinned(part.pin, python, tools);
  makeFolder(folder);
  const unlock = await acquireLock(join(folder, "lock"), tools);
  try {
    // What an earlier run found may be another Python or compiler by now; the objects are kept.
    rmSync(join(folder, "CMakeCache.txt"), { force: true });
    const settings = {
      CMAKE_BUILD_TYPE: "Release",
      Python_EXECUTABLE: python,
      ...part.settings(pinned, tests),
      ...(isKeptApart(tools.env) && { KR_INSTALL_DIR: join(home, part.within) }),
    };
    const defines = Object.entries(settings).map(([name, value]) => `-D${name}=${value}`);
    const source = join(packageRoot, part.source);
    await run(cmake, ["-S", source, "-B", folder, ...configureArgs, ...defines], tools);
    const jobs = Math.min(availableParallelism(), jobsMax);
    const onLine = (line) => {
      const share = shareOf(line);
      if (share !== undefined) tools.detail(share);
    };
    // The user's generator may be one that decides only now what it builds.
    const release = ["--config", "Release"];
    const parallel = ["--parallel", String(jobs)];
    await run(cmake, ["--build", folder, ...release, ...parallel], { ...tools, onLine });
    await run(cmake, ["--install", folder, ...release], tools);
    dropPrecompiled(folder);
    await checkLoads(part, python, tools);
    return installedFiles(folder);
  } finally {
    unlock();
  }
}

/** Headers that were compiled before the rest: larger than all else together, and of no use once it is built. */
function dropPrecompiled(folder) {
  const names = readdirSync(folder, { recursive: true });
  for (const name of names.filter((one) => /\.[gp]ch$/.test(one))) rmSync(join(folder, name));
}

/** DESTDIR is for whoever makes a package of something else. */
function unstaged(env = process.env) {
  const { DESTDIR: _, ...rest } = env;
  return rest;
}

/** ` 45 %` from what make and ninja say: `[ 45%] Building …`, `[9/20] Building …`. */
function shareOf(line) {
  const [, percent, done, total] = /^\[ *(?:(\d+)%|(\d+)\/(\d+))\]/.exec(line) ?? [];
  if (percent !== undefined) return ` ${percent} %`;
  return total === undefined ? undefined : ` ${Math.floor((100 * Number(done)) / Number(total))} %`;
}

function installedFiles(folder) {
  const manifest = join(folder, "install_manifest.txt");
  return existsSync(manifest) ? readFileSync(manifest, "utf8").trim().split("\n") : [];
}

async function checkLoads(part, python, options) {
  const asked = { MLX_SERVING_NATIVE: "on", MLX_SERVING_NATIVE_PARTS: "all" };
  const outer = options.env ?? process.env;
  const env = { ...outer, ...asked, PYTHONPATH: pythonPath(outer), PYTHONSAFEPATH: "1" };
  const reason = (await run(python, ["-c", part.check], { ...options, env })).trim();
  if (reason !== "") throw new SetupError(reason);
}
