/**
 * The private Python environment: finds a Python, gets uv, installs what `python/uv.lock` pins. Used by
 * the set-up of a clone and, in an installed package, when a worker first needs it.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { acquireLock } from "./lock.mjs";
import { cacheFolder, isClone, packageRoot, pythonProject } from "./paths.mjs";
import { run, SetupError } from "./process.mjs";
import { isFresh, takeStamp, writeStamp } from "./stamp.mjs";

/** Must be able to read `uv.lock`: its conflicts between groups and extras are newer than 0.6. */
const uvVersionMin = [0, 8, 0];
const pythonVersionMin = [3, 11];
const uvPin = join(pythonProject, "uv-pin.txt");
const lockedInputs = ["python/pyproject.toml", "python/uv.lock"];
const downloadTries = 3;

/**
 * @typedef {{
 *   env?: NodeJS.ProcessEnv,
 *   signal?: AbortSignal | undefined,
 *   logFile?: string | undefined,
 *   detail?: ((text: string) => void) | undefined,
 *   note?: ((text: string) => void) | undefined,
 * }} ToolOptions `detail`: what is happening right now; `note`: what the user should know afterwards.
 */

/**
 * The first Python that is new enough: `MLX_SERVING_PYTHON` alone if it is set, else by name.
 * @param {ToolOptions} [options]
 * @returns {Promise<{ path: string, version: string }>}
 */
export async function findPython(options = {}) {
  const env = options.env ?? process.env;
  const asked = env.MLX_SERVING_PYTHON;
  const candidates = asked ? [asked] : ["python3.13", "python3.12", "python3.11", "python3"];
  const found = await Promise.all(candidates.map((name) => describePython(name, options)));
  const fit = found.find(
    (python) => python !== undefined && isAtLeast(python.version, pythonVersionMin),
  );
  if (fit !== undefined) return fit;
  const present = found.filter((python) => python !== undefined).map((python) => python.version);
  throw new SetupError(
    asked
      ? `MLX_SERVING_PYTHON is ${asked}, which is ${present[0] ? `Python ${present[0]}` : "not a Python that runs"}; name Python 3.11 or newer.`
      : `Python 3.11 or newer was not found${present[0] ? ` (only ${present[0]})` : ""}; install it, or name one in MLX_SERVING_PYTHON.`,
    { exitCode: 2 },
  );
}

/**
 * The Python to make the environment of a folder with: the one it has, so that a newer one on the PATH is no reason
 * to remove what is there and to fetch it again, perhaps without a network; else one that is found.
 * @param {string} folder
 * @param {ToolOptions} [options]
 * @returns {Promise<{ path: string, version: string }>}
 */
export async function pythonFor(folder, options = {}) {
  const env = options.env ?? process.env;
  if (env.MLX_SERVING_PYTHON) return findPython(options);
  const kept = await describePython(interpreterOf(folder), { env, signal: options.signal });
  const isFit = kept !== undefined && isAtLeast(kept.version, pythonVersionMin);
  return isFit ? kept : findPython(options);
}

async function describePython(name, { env, signal }) {
  const script =
    "import sys; print(sys.executable); print('.'.join(map(str, sys.version_info[:3])))";
  try {
    const [path, version] = (await run(name, ["-c", script], { env, signal })).trim().split("\n");
    return path && version ? { path, version } : undefined;
  } catch (error) {
    if (error instanceof SetupError) return undefined;
    throw error;
  }
}

function isAtLeast(version, min) {
  const parts = version.split(".").map(Number);
  for (const [index, want] of min.entries()) {
    const have = parts[index] ?? 0;
    if (have !== want) return have > want;
  }
  return true;
}

/**
 * uv's path: the one on the PATH if it is new enough, else a private one of a pinned version.
 * @param {string} python
 * @param {ToolOptions} [options]
 * @returns {Promise<string>}
 */
export async function ensureUv(python, options = {}) {
  if (await isUsableUv("uv", options)) return "uv";
  const version = /^uv==(\S+)/m.exec(readFileSync(uvPin, "utf8"))?.[1];
  const folder = join(cacheFolder(options.env), "tools", `uv-${version}`);
  const uv = join(folder, "bin", "uv");
  if (existsSync(uv)) return uv;
  const release = await acquireLock(`${folder}.lock`, options);
  try {
    if (!existsSync(uv)) await installUv(python, folder, options);
    return uv;
  } finally {
    release();
  }
}

async function isUsableUv(command, { env, signal }) {
  try {
    const version = /^uv (\d+\.\d+\.\d+)/.exec(
      await run(command, ["--version"], { env, signal }),
    )?.[1];
    return version !== undefined && isAtLeast(version, uvVersionMin);
  } catch (error) {
    if (error instanceof SetupError) return false;
    throw error;
  }
}

async function installUv(python, folder, options) {
  options.detail?.("installing uv");
  const draft = `${folder}.draft`;
  rmSync(draft, { recursive: true, force: true });
  const install = ["install", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"];
  const pip = await findPip(python, `${folder}.pip`, options);
  await retry(options, "installing uv", () =>
    run(
      pip[0],
      [...pip.slice(1), ...install, "--require-hashes", "--requirement", uvPin, "--target", draft],
      {
        ...options,
        failure:
          "uv could not be installed from the Python package index; check the network, or install uv yourself.",
        passing: true,
      },
    ),
  );
  renameSync(draft, folder);
  rmSync(`${folder}.pip`, { recursive: true, force: true });
}

/** pip of that Python, else of a virtual environment made for it. */
async function findPip(python, folder, options) {
  const { env, signal } = options;
  const ownPip = await run(python, ["-m", "pip", "--version"], { env, signal }).catch(unlessFailed);
  if (ownPip !== undefined) return [python, "-m", "pip"];
  await run(python, ["-m", "venv", "--clear", folder], {
    ...options,
    failure: `${python} has neither pip nor venv (Debian: the packages python3-pip or python3-venv); install one of them, or uv itself.`,
  });
  return [join(folder, "bin", "python"), "-m", "pip"];
}

function unlessFailed(error) {
  if (error instanceof SetupError) return undefined;
  throw error;
}

/**
 * Tries a download again when it fails; what has arrived already stays in the downloader's cache.
 * @template T
 * @param {ToolOptions} options
 * @param {string} what
 * @param {() => Promise<T>} attempt
 * @returns {Promise<T>}
 */
export async function retry(options, what, attempt) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof SetupError) || tries === downloadTries) throw error;
      options.detail?.(`${what}, again (${tries + 1} of ${downloadTries})`);
    }
  }
}

/**
 * Where the environment is, or will be: `MLX_SERVING_PYTHON_ENV`, a clone's `python/.venv`, else a
 * folder in the cache named by the lock file's hash.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string}
 */
export function environmentFolder(env = process.env) {
  if (env.MLX_SERVING_PYTHON_ENV) return resolve(env.MLX_SERVING_PYTHON_ENV);
  if (isClone) return join(pythonProject, ".venv");
  const hash = createHash("sha256");
  for (const file of lockedInputs) hash.update(readFileSync(join(packageRoot, file)));
  return join(cacheFolder(env), "python", hash.digest("hex").slice(0, 16));
}

/**
 * @param {string} folder
 * @returns {string}
 */
export function interpreterOf(folder) {
  return join(folder, "bin", "python");
}

/**
 * An environment that the user names is theirs: it is used as it is.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {boolean}
 */
export function isForeign(env = process.env) {
  return Boolean(env.MLX_SERVING_PYTHON_ENV);
}

const stampOf = (folder) => join(folder, "mlx-serving.json");

/**
 * True when the environment is complete for the present lock file and accelerator.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {boolean}
 */
export function isEnvironmentReady(env = process.env) {
  const folder = environmentFolder(env);
  if (!existsSync(interpreterOf(folder))) return false;
  return (
    isForeign(env) || isFresh(stampOf(folder), packageRoot, lockedInputs, detectAccelerator(env))
  );
}

/**
 * Which build of MLX fits this machine: `cuda` where an NVIDIA driver is present, else `default` (Metal on macOS).
 * @param {NodeJS.ProcessEnv} [env] `MLX_SERVING_ACCELERATOR` (cpu, cuda) decides if it is set.
 * @returns {"default" | "cuda"}
 */
export function detectAccelerator(env = process.env) {
  if (process.platform !== "linux" || env.MLX_SERVING_ACCELERATOR === "cpu") return "default";
  const driverFiles = ["/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1"];
  return env.MLX_SERVING_ACCELERATOR === "cuda" || driverFiles.some(existsSync)
    ? "cuda"
    : "default";
}

/**
 * Makes the environment if it isn't there or is for another lock file. Safe to interrupt and to repeat.
 * @param {ToolOptions} [options]
 * @returns {Promise<string>} The path of its interpreter.
 */
export async function ensureEnvironment(options = {}) {
  const env = options.env ?? process.env;
  const folder = environmentFolder(env);
  if (isEnvironmentReady(env)) return interpreterOf(folder);
  if (isForeign(env)) {
    throw new SetupError(
      `MLX_SERVING_PYTHON_ENV names ${folder}, which has no bin/python; name a virtual environment, or leave it out.`,
      { exitCode: 2 },
    );
  }
  const release = await acquireLock(`${folder}.lock`, {
    signal: options.signal,
    onWait: (holder) => options.detail?.(`waiting for ${holder}, which makes it`),
  });
  try {
    if (!isEnvironmentReady(env)) await makeEnvironment(folder, options);
    return interpreterOf(folder);
  } finally {
    release();
  }
}

async function makeEnvironment(folder, options) {
  const accelerator = detectAccelerator(options.env);
  rmSync(stampOf(folder), { force: true });
  // What an interrupted run left, or whose Python has gone, is no environment that uv would repair.
  if (!existsSync(interpreterOf(folder))) rmSync(folder, { recursive: true, force: true });
  const stamp = takeStamp(packageRoot, lockedInputs, accelerator);
  const python = await pythonFor(folder, options);
  const uv = await ensureUv(python.path, options);
  if (accelerator !== "cuda" || !(await syncForCuda(uv, python.path, folder, options))) {
    await sync(uv, python.path, folder, [], options);
  }
  writeStamp(stampOf(folder), stamp);
}

/** The GPU is optional: false, with one line that says why, if its build of MLX can't be had or doesn't run. */
async function syncForCuda(uv, python, folder, options) {
  try {
    await sync(uv, python, folder, ["--no-group", "cpu", "--extra", "cuda"], options);
    await run(interpreterOf(folder), ["-c", "import mlx.core as mx; mx.eval(mx.ones(8) + 1)"], {
      ...options,
      failure: "MLX's CUDA build doesn't run on this machine.",
    });
    return true;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    options.note?.(
      `The NVIDIA GPU can't be used (${error.tail.at(-1) ?? error.message}); going on with the CPU.`,
    );
    return false;
  }
}

async function sync(uv, python, folder, choice, options) {
  const args = ["sync", "--frozen", ...choice, "--project", pythonProject, "--python", python];
  // A clone runs the Python tests too; an installed package doesn't.
  if (!isClone) args.push("--no-group", "dev");
  const env = {
    ...(options.env ?? process.env),
    UV_PROJECT_ENVIRONMENT: folder,
    UV_PYTHON_DOWNLOADS: "never",
  };
  await retry(options, "downloading", () =>
    run(uv, args, {
      ...options,
      env,
      // What was installed, one line a package, is for the log alone.
      onLine: (line) => {
        if (!line.startsWith("+ ")) options.detail?.(line);
      },
      failure:
        "The Python packages could not be installed; check the network and the space on the disk, then run the command again.",
    }),
  );
}
