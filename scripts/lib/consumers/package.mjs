/** The packed package itself: what is in it, and what the linters of packages say. */
import { join } from "node:path";
import { publint } from "publint";
import { nativeParts } from "../../../setup/native/parts.mjs";
import { packageRoot } from "../../../setup/paths.mjs";
import { listInputs } from "../../../setup/stamp.mjs";
import { run, succeed } from "./project.mjs";

/**
 * Packs the package, built anew, as npm would publish it.
 * @param {string} folder
 * @returns {{ tarball: string, files: string[] }}
 */
export function pack(folder) {
  succeed(packageRoot, ["npm", "run", "build"]);
  const options = ["--ignore-scripts", "--json", "--pack-destination", folder];
  const [{ filename, files }] = JSON.parse(succeed(packageRoot, ["npm", "pack", ...options]));
  return { tarball: join(folder, filename), files: files.map(({ path }) => path) };
}

const needed = [
  "rescript.json",
  "src-res/Request.res",
  "src-res/Request.resi",
  "dist/src-res/Request.res.mjs",
  "dist/src-ts/machines/Request.js",
  "dist/src-ts/machines/Request.d.ts",
  "dist/cli/main.js",
  "python/pyproject.toml",
  "python/uv.lock",
  "python/mlx_serving/__main__.py",
  "python/uv-pin.txt",
  "python/embedded-model.txt",
  "dist/setup/native/build.mjs",
  "native/pins/cmake.txt",
];
/** All that native parts are built from, as one lists it here: none may be left out. */
const nativeSources = () =>
  nativeParts.flatMap(({ source, inputs }) => [
    `${source}/CMakeLists.txt`,
    ...listInputs(packageRoot, inputs),
  ]);
const unwanted =
  /^tests\/|(^|\/)(__pycache__|\.venv|node_modules|build|\.[a-z]+_cache)\/|\.(pyc|tgz|log)$/;

/** @param {string[]} files */
export function checkContents(files) {
  const missing = [...needed, ...nativeSources()].filter((file) => !files.includes(file));
  const surplus = files.filter((file) => unwanted.test(file));
  if (missing.length > 0) throw new Error(`the package lacks ${missing.join(", ")}`);
  if (surplus.length > 0) throw new Error(`the package should not have ${surplus.join(", ")}`);
}

/** Matches nothing until a ReScript project that keeps its output apart has compiled the package. */
const expectedEmpty = "./lib/*";

/** @param {string} installed The package's folder in a project. */
export async function checkPublint(installed) {
  const { messages } = await publint({
    pkgDir: installed,
    pack: false,
    level: "warning",
    strict: true,
  });
  const serious = messages.filter(
    ({ code, path }) => !(code === "EXPORTS_GLOB_NO_MATCHED_FILES" && path.includes(expectedEmpty)),
  );
  if (serious.length > 0) throw new Error(JSON.stringify(serious, null, 2));
}

const entries = [
  ".",
  "engine",
  "client",
  ...["Request", "Batch", "Worker", "Scheduler", "Orchestrator", "schemas"].map(
    (name) => `machines/${name}`,
  ),
];

/** Are the types right for ES modules, in Node and in bundlers? The package has no CommonJS. */
export function checkTypes(tarball) {
  const attw = [join(packageRoot, "node_modules", ".bin", "attw"), tarball];
  const options = [
    "--profile",
    "esm-only",
    "--no-emoji",
    "--no-color",
    "--entrypoints",
    ...entries,
  ];
  const { status, output } = run(packageRoot, [...attw, ...options]);
  if (status !== 0) throw new Error(output);
}
