/** The native parts: what each is built from, and with what, and how one sees that it works. */
import { join } from "node:path";
import { sitePackages } from "../site-packages.mjs";

/**
 * @typedef {{
 *   id: string,
 *   gives: readonly string[],
 *   byDefault: boolean,
 *   source: string,
 *   inputs: readonly string[],
 *   pin: string,
 *   settings: (pinned: string, tests: boolean) => Record<string, string>,
 *   within: string,
 *   check: string,
 *   fits: (env: NodeJS.ProcessEnv) => boolean,
 * }} NativePart `gives`: what `--native-parts` calls what is in it; `byDefault`: whether some of that is
 *   on by default (python/mlx_serving/native/choice.py); `source`: the folder of its CMakeLists.txt, as
 *   all `inputs` relative to the package; `pin`: what `native/pins` calls the package that it is built
 *   with, and `settings` what CMake is told about it; `within`: where it lies in a folder of modules;
 *   `check`: a Python program that prints why it can't be used, or nothing; `fits`: whether it is of any
 *   use there.
 */

/** @type {readonly NativePart[]} */
export const nativeParts = [
  {
    id: "krserve_native",
    gives: ["pool", "metrics"],
    byDefault: false,
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
    within: "",
    check: "from mlx_serving.native import loader; print(loader.load('on')[1] or '')",
    fits: () => true,
  },
  {
    id: "krserve_blas",
    gives: ["blas"],
    byDefault: true,
    source: "native/blas",
    inputs: ["native/blas/CMakeLists.txt", "native/blas/make_shim.py", "native/pins/openblas.txt"],
    pin: "openblas",
    settings: (pinned) => ({
      KR_OPENBLAS: join(pinned, "scipy_openblas32", "lib", "libscipy_openblas.so"),
    }),
    within: "krserve_blas",
    check: "from mlx_serving.fast import blas; print(blas.load()['reason'] or '')",
    fits: hasMlxForLinuxCpu,
  },
  {
    id: "krserve_mlx_ops",
    gives: ["products", "blocks", "attention", "sampling"],
    byDefault: true,
    source: "native/mlx_ops",
    inputs: ["CMakeLists.txt", "compute", "core", "ops", "simd", "krserve_mlx_ops.pyi"]
      .map((name) => `native/mlx_ops/${name}`)
      .concat("native/pins/nanobind.txt"),
    pin: "nanobind",
    settings: (pinned) => ({ nanobind_DIR: join(pinned, "nanobind", "cmake") }),
    within: "",
    check: "from mlx_serving import fast; print(fast.status()['reason'] or '')",
    fits: hasMlxForLinuxCpu,
  },
];

/** MLX computes on a GPU on macOS, and where its build for CUDA is installed. */
function hasMlxForLinuxCpu(env) {
  if (process.platform !== "linux") return false;
  return sitePackages(env).some(({ names }) =>
    names.some((name) => /^mlx_cpu-.*\.dist-info$/.test(name)),
  );
}

/**
 * Which of them a server with these options will use, by id.
 * @param {{ native: "auto" | "on" | "off", nativeParts?: readonly string[] | undefined, engine: "mlx" | "fake" }} options
 *   As of `serve`.
 * @returns {string[]}
 */
export function partsInUse({ native, nativeParts: names, engine }) {
  if (native === "off") return [];
  const all = names === undefined ? native === "on" : names.includes("all");
  return (
    nativeParts
      .filter(
        ({ gives, byDefault }) =>
          all || (names === undefined ? byDefault : gives.some((part) => names.includes(part))),
      )
      // The fake engine has no mathematics.
      .filter(({ id }) => engine === "mlx" || id === "krserve_native")
      .map(({ id }) => id)
  );
}
