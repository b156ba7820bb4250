/** Python's compiled modules while tests run: workers are started hundreds of times. */
import { join } from "node:path";
import { setupFolder } from "../../setup/clone/node.mjs";

/**
 * Where the environment forbids them beside the sources, as images of containers do, they are kept in a folder of
 * the set-up: else each worker compiles all modules anew, which takes half of the processor time of its start.
 * @param {NodeJS.ProcessEnv} env
 * @returns {NodeJS.ProcessEnv}
 */
export function withBytecode({ PYTHONDONTWRITEBYTECODE: forbidden, ...env }) {
  if (!forbidden) return env;
  return { PYTHONPYCACHEPREFIX: join(setupFolder, "pycache"), ...env };
}
