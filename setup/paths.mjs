/** Where things live: the package, its Python parts, the user's cache. Reads the environment, writes nothing. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * The folder of the package: the nearest one above this file with a `package.json` (the compiled copy
 * of this file lies one folder deeper than its source).
 * @returns {string}
 */
function findPackageRoot() {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) {
    const parent = dirname(folder);
    if (parent === folder)
      throw new Error("The files of mlx-serving are incomplete: package.json is missing.");
    folder = parent;
  }
  return folder;
}

/** @type {string} */
export const packageRoot = findPackageRoot();

/** @type {string} */
export const pythonProject = join(packageRoot, "python");

/** What `mlx-serving` runs. @type {string} */
export const commandLine = join(packageRoot, "dist", "cli", "main.js");

/** A clone has its sources; an installed package ships only what they compile to. @type {boolean} */
export const isClone = existsSync(join(packageRoot, "src-ts"));

/**
 * The folder for everything that is downloaded or made once for this user.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string}
 */
export function cacheFolder(env = process.env) {
  if (env.MLX_SERVING_CACHE) return resolve(env.MLX_SERVING_CACHE);
  if (env.XDG_CACHE_HOME) return join(resolve(env.XDG_CACHE_HOME), "mlx-serving");
  if (process.platform === "darwin") return join(homedir(), "Library", "Caches", "mlx-serving");
  return join(homedir(), ".cache", "mlx-serving");
}

/**
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string}
 */
export function modelsFolder(env = process.env) {
  return join(cacheFolder(env), "models");
}
