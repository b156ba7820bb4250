/** The native parts: what each is built from, and with what, and how one sees that it works. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { environmentFolder } from "./python.mjs";

/**
 * @typedef {{
 *   id: string,
 *   source: string,
 *   inputs: readonly string[],
 *   pin: string,
 *   settings: (pinned: string, tests: boolean) => Record<string, string>,
 *   check: string,
 *   fits: (env: NodeJS.ProcessEnv) => boolean,
 * }} NativePart `source`: the folder of its CMakeLists.txt, as all `inputs` relative to the package;
 *   `pin`: what `native/pins` calls the package that it is built with, and `settings` what CMake is told
 *   about it; `check`: a Python program that prints why it can't be used, or nothing; `fits`: whether it
 *   is of any use there.
 */

/** @type {readonly NativePart[]} */
export const nativeParts = [
  {
    id: "krserve_native",
    source: "native",
    inputs: ["CMakeLists.txt", "pins/pybind11.txt", "include", "src", "bindings", "tests"].map(
      (name) => `native/${name}`,
    ),
    pin: "pybind11",
    settings: (pinned, tests) => ({
      BUILD_TESTS: tests ? "ON" : "OFF",
      BUILD_BENCHMARKS: tests ? "ON" : "OFF",
      pybind11_DIR: join(pinned, "pybind11", "share", "cmake", "pybind11"),
    }),
    check: "from mlx_serving.native import loader; print(loader.load('on')[1] or '')",
    fits: () => true,
  },
  {
    id: "krserve_blas",
    source: "native/blas",
    inputs: ["native/blas/CMakeLists.txt", "native/blas/make_shim.py", "native/pins/openblas.txt"],
    pin: "openblas",
    settings: (pinned) => ({
      KR_OPENBLAS: join(pinned, "scipy_openblas32", "lib", "libscipy_openblas.so"),
    }),
    check: "from mlx_serving.fast import blas; print(blas.load()['reason'] or '')",
    fits: hasMlxForLinuxCpu,
  },
  {
    id: "krserve_mlx_ops",
    source: "native/mlx_ops",
    inputs: ["CMakeLists.txt", "compute", "core", "ops", "simd", "krserve_mlx_ops.pyi"]
      .map((name) => `native/mlx_ops/${name}`)
      .concat("native/pins/nanobind.txt"),
    pin: "nanobind",
    settings: (pinned) => ({ nanobind_DIR: join(pinned, "nanobind", "cmake") }),
    check: "from mlx_serving import fast; print(fast.status()['reason'] or '')",
    fits: hasMlxForLinuxCpu,
  },
];

/** MLX computes on a GPU on macOS, and where its build for CUDA is installed. */
function hasMlxForLinuxCpu(env) {
  if (process.platform !== "linux") return false;
  return packagesOf(env).some((name) => /^mlx_cpu-.*\.dist-info$/.test(name));
}

function packagesOf(env) {
  const library = join(environmentFolder(env), "lib");
  if (!existsSync(library)) return [];
  return readdirSync(library)
    .map((python) => join(library, python, "site-packages"))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder));
}
