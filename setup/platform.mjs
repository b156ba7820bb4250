/** What the project needs of its machine. Knows nothing else, so that old versions of Node can read it. */
import { SetupError } from "./process.mjs";

const nodeVersionMin = [20, 11];

/**
 * Throws SetupError (exit code 2) where the project cannot run at all.
 * @param {string} [platform]
 * @param {string} [version]
 */
export function checkPlatform(platform = process.platform, version = process.versions.node) {
  if (platform === "win32") {
    throw new SetupError("mlx-serving runs on macOS and Linux, not on Windows; use WSL 2.", {
      exitCode: 2,
    });
  }
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < nodeVersionMin[0] || (major === nodeVersionMin[0] && minor < nodeVersionMin[1])) {
    throw new SetupError(`mlx-serving needs Node 20.11 or newer; this is ${version}.`, {
      exitCode: 2,
    });
  }
}
