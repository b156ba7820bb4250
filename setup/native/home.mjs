/**
 * Where built native parts are kept. A clone's environment is its own, as is one that the user names:
 * there they lie in its site-packages. The environment of an installed package is shared by all versions
 * with the same lock file, so their parts lie apart from it, in a folder of the cache that is named by
 * everything they depend on: no version ever finds another's, and each finds its own again.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { delimiter, join } from "node:path";
import { cacheFolder, isClone, packageRoot, pythonProject } from "../paths.mjs";
import { environmentFolder, isForeign } from "../python.mjs";
import { describeForModules } from "../site-packages.mjs";
import { listInputs } from "../stamp.mjs";
import { nativeParts } from "./parts.mjs";

/** @param {NodeJS.ProcessEnv} env */
export const isKeptApart = (env = process.env) => !isClone && !isForeign(env);

/**
 * The folder with the parts, or with what is known of them where they lie in site-packages. Right only
 * once the environment is made.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string}
 */
export function nativeHome(env = process.env) {
  if (!isKeptApart(env)) return environmentFolder(env);
  return join(cacheFolder(env), "native", `${packageVersion()}-${fingerprint(env)}`);
}

/**
 * PYTHONPATH of a worker: our package, and the native parts where they are kept apart.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string}
 */
export function pythonPath(env = process.env) {
  const folders = isKeptApart(env) ? [pythonProject, nativeHome(env)] : [pythonProject];
  return folders.join(delimiter);
}

/** Of the sources and pins, of Python and MLX, and of the system whose libraries a module is linked with. */
function fingerprint(env) {
  const hash = createHash("sha256").update(describeForModules(env)).update(describeSystem());
  for (const file of listInputs(
    packageRoot,
    nativeParts.flatMap(({ inputs }) => inputs),
  ))
    hash.update(`\n${file}\n`).update(readFileSync(join(packageRoot, file)));
  return hash.digest("hex").slice(0, 16);
}

/** A home folder may be shared by machines. */
function describeSystem() {
  const machine = `\n${process.platform} ${process.arch}`;
  if (process.platform !== "linux") return `${machine} ${release().split(".")[0]}`;
  const file = ["/etc/os-release", "/usr/lib/os-release"].find((path) => existsSync(path));
  const lines = file === undefined ? "" : readFileSync(file, "utf8");
  return [machine, ...(lines.match(/^(ID|VERSION_ID)=.*$/gm) ?? [])].join(" ");
}

function packageVersion() {
  return JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")).version ?? "0";
}
