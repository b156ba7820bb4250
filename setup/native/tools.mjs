/** What compiles native code: the user's C++ compiler, and a CMake of theirs or a pinned one of ours. */
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, readFileSync, renameSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";
import { acquireLock } from "../lock.mjs";
import { cacheFolder, packageRoot } from "../paths.mjs";
import { run, SetupError } from "../process.mjs";
import { ensureUv, retry } from "../python.mjs";

const compilers = ["c++", "g++", "clang++"];
const cmakeVersionMin = [3, 15];

/** @typedef {import("../python.mjs").ToolOptions} ToolOptions */

/**
 * The path of the compiler that CMake will take, or undefined. Starts nothing.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string | undefined}
 */
export function findCompiler(env = process.env) {
  if (env.CXX) return env.CXX;
  return compilers.map((name) => findOnPath(name, env)).find((path) => path !== undefined);
}

/**
 * The path of a program, or undefined.
 * @param {string} name
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string | undefined}
 */
export function findOnPath(name, env = process.env) {
  const folders = (env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/** @param {string} path */
export function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Rejects with SetupError if there is no compiler that works.
 * @param {ToolOptions} options
 */
export async function checkCompiler(options) {
  const env = options.env ?? process.env;
  if (findCompiler(env) === undefined) {
    throw new SetupError(
      process.platform === "darwin"
        ? "there is no C++ compiler (xcode-select --install)"
        : `there is no C++ compiler on the PATH (${compilers.join(", ")}; Debian: g++)`,
    );
  }
  // Without Apple's tools /usr/bin/c++ is there too, and opens a window when it is called.
  if (process.platform === "darwin" && !env.CXX) {
    await run("xcode-select", ["-p"], {
      ...options,
      failure: "there is no C++ compiler (xcode-select --install)",
    });
  }
}

/**
 * CMake with something that it can drive: from the PATH, else pinned ones.
 * @param {string} python Needed only where uv is missing too.
 * @param {ToolOptions} options
 * @returns {Promise<{ cmake: string, configureArgs: string[] }>}
 */
export async function ensureCmake(python, options) {
  const env = options.env ?? process.env;
  const driver = ["ninja", "make"].some((name) => findOnPath(name, env) !== undefined);
  if (driver && (await isUsableCmake(options))) return { cmake: "cmake", configureArgs: [] };
  const folder = await ensurePinned("cmake", python, options);
  return {
    // Not bin/cmake, a script that wants its package on Python's path.
    cmake: join(folder, "cmake", "data", "bin", "cmake"),
    configureArgs: ["-G", "Ninja", `-DCMAKE_MAKE_PROGRAM=${join(folder, "bin", "ninja")}`],
  };
}

async function isUsableCmake({ env, signal }) {
  try {
    const text = await run("cmake", ["--version"], { env, signal });
    const [major = 0, minor = 0] = (/version (\d+)\.(\d+)/.exec(text) ?? []).slice(1).map(Number);
    const [majorMin, minorMin] = cmakeVersionMin;
    return major > majorMin || (major === majorMin && minor >= minorMin);
  } catch (error) {
    if (error instanceof SetupError) return false;
    throw error;
  }
}

/**
 * The folder with the packages that `native/pins/<name>.txt` names, apart from every environment.
 * @param {string} name
 * @param {string} python
 * @param {ToolOptions} options
 * @returns {Promise<string>}
 */
export async function ensurePinned(name, python, options) {
  const pins = join(packageRoot, "native", "pins", `${name}.txt`);
  const hash = createHash("sha256").update(readFileSync(pins)).digest("hex").slice(0, 16);
  const folder = join(cacheFolder(options.env), "tools", `${name}-${hash}`);
  if (existsSync(folder)) return folder;
  const release = await acquireLock(`${folder}.lock`, options);
  try {
    if (!existsSync(folder)) await installPinned(pins, folder, python, options);
    return folder;
  } finally {
    release();
  }
}

async function installPinned(pins, folder, python, options) {
  const uv = await ensureUv(python, options);
  const draft = `${folder}.draft`;
  rmSync(draft, { recursive: true, force: true });
  const exactly = ["--no-deps", "--only-binary", ":all:", "--require-hashes"];
  const where = ["--python", python, "--target", draft];
  await retry(options, "downloading", () =>
    run(uv, ["pip", "install", ...exactly, ...where, "--requirements", pins], {
      ...options,
      failure: "its build tools could not be downloaded",
      passing: true,
    }),
  );
  renameSync(draft, folder);
}
