/**
 * The Python that workers run on: the clone's environment, the one that the user names, or one made in
 * the user's cache when it is first needed.
 */
import { join } from "node:path";
import { cacheFolder, isClone, packageRoot, pythonProject } from "../../setup/paths.mjs";
import {
  ensureEnvironment,
  environmentFolder,
  interpreterOf,
  isEnvironmentReady,
} from "../../setup/python.mjs";
import type { PythonCommand } from "../worker/process.js";

export { SetupError } from "../../setup/process.mjs";
export { cacheFolder, isEnvironmentReady, packageRoot, pythonProject };

/** How an environment or a model comes about, told while it does. */
export interface EnvironmentOptions {
  env?: NodeJS.ProcessEnv | undefined;
  signal?: AbortSignal | undefined;
  /** What is happening right now; short, for a line that is overwritten. */
  onProgress?: ((text: string) => void) | undefined;
  /** What the user should know afterwards, such as a GPU that can't be used. */
  onNote?: ((text: string) => void) | undefined;
}

/** The options of the shared scripts; the log of a failed run lands in the cache. */
export function toolOptions({ env = process.env, signal, onProgress, onNote }: EnvironmentOptions) {
  const logFile = join(cacheFolder(env), "logs", `setup-${process.pid}.log`);
  return { env, signal, logFile, detail: onProgress, note: onNote };
}

/**
 * How to start a worker's Python. Makes the environment if it isn't there: seconds to minutes and
 * some hundred megabytes. Rejects with SetupError, or AbortError after `signal`.
 */
export async function ensurePython(options: EnvironmentOptions = {}): Promise<PythonCommand> {
  return { python: await ensureEnvironment(toolOptions(options)), packageDir: pythonProject };
}

/** Where the environment's interpreter is, or will be, and where it came from. */
export function describePython(env: NodeJS.ProcessEnv = process.env) {
  const folder = environmentFolder(env);
  const origin = env.MLX_SERVING_PYTHON_ENV ? "named" : isClone ? "clone" : "cache";
  return { path: interpreterOf(folder), ready: isEnvironmentReady(env), origin } as const;
}
