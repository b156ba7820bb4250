/** Python environments for tests, made once from requirements that are locked with hashes. */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { acquireLock } from "../../setup/lock.mjs";
import { packageRoot } from "../../setup/paths.mjs";
import { run } from "../../setup/process.mjs";
import { ensureUv, findPython } from "../../setup/python.mjs";
import { isFresh, takeStamp, writeStamp } from "../../setup/stamp.mjs";

/**
 * @param {{ folder: string, requirements: string, signal?: AbortSignal }} options `requirements`: a file,
 *   relative to the package.
 * @returns {Promise<string>} The folder of its programs.
 */
export async function ensureLockedEnvironment({ folder, requirements, signal }) {
  const stamp = join(folder, "made.json");
  const programs = join(folder, "bin");
  const release = await acquireLock(`${folder}.lock`, { signal });
  try {
    if (!isFresh(stamp, packageRoot, [requirements]) || !existsSync(programs)) {
      await make(folder, requirements, signal);
      writeStamp(stamp, takeStamp(packageRoot, [requirements]));
    }
    return programs;
  } finally {
    release();
  }
}

async function make(folder, requirements, signal) {
  rmSync(folder, { recursive: true, force: true });
  const python = await findPython({ signal });
  const uv = await ensureUv(python.path, { signal });
  await run(uv, ["venv", "--no-project", "--python", python.path, folder], { signal });
  const interpreter = join(folder, "bin", "python");
  const install = ["pip", "install", "--require-hashes", "--python", interpreter];
  await run(uv, [...install, "--requirement", join(packageRoot, requirements)], { signal });
}
