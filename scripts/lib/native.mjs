/**
 * Builds krserve_native into the private Python environment. Optional: whoever calls this goes on without
 * it, so what fails becomes one line, which is also left in the environment for the worker to report.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { acquireLock } from "./lock.mjs";
import { checkCompiler, ensureCmake, ensurePinned, findCompiler } from "./native-tools.mjs";
import { isClone, packageRoot, pythonProject } from "./paths.mjs";
import { run, SetupError } from "./process.mjs";
import { environmentFolder, interpreterOf } from "./python.mjs";
import { isFresh, listInputs, removeStamp, takeStamp, writeStamp } from "./stamp.mjs";

const source = join(packageRoot, "native");
const jobsMax = 4;

const stampOf = (env) => join(environmentFolder(env), "krserve_native.json");
/** Read by python/mlx_serving/native/loader.py. */
const failureOf = (env) => join(environmentFolder(env), "krserve_native.failed");

const inputs = () =>
  listInputs(packageRoot, [
    "native/CMakeLists.txt",
    "native/pins",
    "native/include",
    "native/src",
    "native/bindings",
  ]);

/** What a failure is remembered for: another compiler is a reason to try again. */
const failureKey = (env) => `failed with ${findCompiler(env) ?? "no compiler"}`;

/**
 * True when there is nothing to do: the module is built from the present sources, or it could not be and
 * nothing that matters has changed since. Quick: starts nothing.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {boolean}
 */
export function isNativeSettled(env = process.env) {
  if (!isClone) return true;
  const key = existsSync(failureOf(env)) ? failureKey(env) : "built";
  return isFresh(stampOf(env), packageRoot, inputs(), key);
}

/**
 * Builds and installs the module. Rejects only with AbortError, after `signal`.
 * @param {import("./python.mjs").ToolOptions & { tests?: boolean, build?: string }} [options]
 *   `tests`: the C++ tests and benchmarks too, for `ctest --test-dir native/build`; `build`: where.
 * @returns {Promise<{ built: true } | { built: false, reason: string }>} `reason`: one line.
 */
export async function buildNative(options = {}) {
  const { env } = options;
  try {
    if (!isClone) throw new SetupError("an installed package brings no sources to build");
    const python = interpreterOf(environmentFolder(env));
    if (!existsSync(python)) throw new SetupError("there is no Python environment yet (npm start)");
    const stamp = takeStamp(packageRoot, inputs(), "built");
    removeStamp(stampOf(env));
    await checkCompiler(options);
    await compile(python, options);
    rmSync(failureOf(env), { force: true });
    writeStamp(stampOf(env), stamp);
    return { built: true };
  } catch (error) {
    if (options.signal?.aborted) throw error;
    const reason = reasonOf(error);
    remember(reason, env);
    return { built: false, reason };
  }
}

async function compile(python, options) {
  const { tests = false, build = join(source, "build"), ...tools } = options;
  const { cmake, configureArgs } = await ensureCmake(python, tools);
  const pybind11 = await ensurePinned("pybind11", python, tools);
  mkdirSync(build, { recursive: true });
  const release = await acquireLock(join(build, "lock"), tools);
  try {
    // What an earlier run found may be another Python or compiler by now; the objects are kept.
    rmSync(join(build, "CMakeCache.txt"), { force: true });
    const settings = {
      CMAKE_BUILD_TYPE: "Release",
      BUILD_TESTS: tests ? "ON" : "OFF",
      BUILD_BENCHMARKS: tests ? "ON" : "OFF",
      Python_EXECUTABLE: python,
      pybind11_DIR: join(pybind11, "pybind11", "share", "cmake", "pybind11"),
    };
    const defines = Object.entries(settings).map(([name, value]) => `-D${name}=${value}`);
    await run(cmake, ["-S", source, "-B", build, ...configureArgs, ...defines], tools);
    const jobs = Math.min(availableParallelism(), jobsMax);
    await run(cmake, ["--build", build, "--parallel", String(jobs)], tools);
    await run(cmake, ["--install", build], tools);
    await checkLoads(python, tools);
  } finally {
    release();
  }
}

async function checkLoads(python, options) {
  const script = "from mlx_serving.native import loader; print(loader.load('on')[1] or '')";
  const env = { ...(options.env ?? process.env), PYTHONPATH: pythonProject };
  const reason = (await run(python, ["-c", script], { ...options, env })).trim();
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

/** So that the next set-up doesn't try the same again, and the worker can say why native is off. */
function remember(reason, env) {
  const folder = environmentFolder(env);
  if (!isClone || !existsSync(folder)) return;
  writeFileSync(failureOf(env), `${reason}\n`);
  writeStamp(stampOf(env), takeStamp(packageRoot, inputs(), failureKey(env)));
}
