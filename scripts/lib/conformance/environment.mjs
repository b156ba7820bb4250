/** Where the conformance suites are, and the Python environment that has them. */
import { join } from "node:path";
import { setupFolder } from "../../../setup/clone/node.mjs";
import { packageRoot } from "../../../setup/paths.mjs";
import { ensureLockedEnvironment } from "../locked-environment.mjs";

export const conformanceFolder = join(setupFolder, "conformance");
export const conformanceTests = join(packageRoot, "tests", "conformance");

/**
 * @param {AbortSignal} signal
 * @returns {Promise<string>} The folder of its programs.
 */
export function ensureConformanceTools(signal) {
  const folder = join(conformanceFolder, "python");
  const requirements = "tests/conformance/requirements.txt";
  return ensureLockedEnvironment({ folder, requirements, signal });
}
