/** A Python environment with the conformance suites, locked with hashes. */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { acquireLock } from "../lock.mjs";
import { setupFolder } from "../node.mjs";
import { packageRoot } from "../paths.mjs";
import { run } from "../process.mjs";
import { ensureUv, findPython } from "../python.mjs";
import { isFresh, takeStamp, writeStamp } from "../stamp.mjs";

export const conformanceFolder = join(setupFolder, "conformance");
export const conformanceTests = join(packageRoot, "tests", "conformance");

const folder = join(conformanceFolder, "python");
const stamp = join(folder, "made.json");
const requirements = "tests/conformance/requirements.txt";

/**
 * @param {AbortSignal} signal
 * @returns {Promise<string>} The folder of its programs.
 */
export async function ensureConformanceTools(signal) {
  const release = await acquireLock(`${folder}.lock`, { signal });
  try {
    if (!isFresh(stamp, packageRoot, [requirements]) || !existsSync(join(folder, "bin")))
      await make(signal);
    return join(folder, "bin");
  } finally {
    release();
  }
}

async function make(signal) {
  rmSync(folder, { recursive: true, force: true });
  const python = await findPython({ signal });
  const uv = await ensureUv(python.path, { signal });
  await run(uv, ["venv", "--no-project", "--python", python.path, folder], { signal });
  const interpreter = join(folder, "bin", "python");
  const install = ["pip", "install", "--require-hashes", "--python", interpreter];
  await run(uv, [...install, "--requirement", join(packageRoot, requirements)], { signal });
  writeStamp(stamp, takeStamp(packageRoot, [requirements]));
}
