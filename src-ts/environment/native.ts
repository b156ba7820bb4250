/** Builds the native parts into the Python environment, when somebody asks for it. */
import { buildNative as build, outcomeOf } from "../../scripts/lib/native.mjs";
import { type EnvironmentOptions, ensurePython, toolOptions } from "./python.js";

export interface NativeBuild {
  /** Names of what is there now. */
  built: string[];
  /** Why others are not, one line for each reason. */
  failures: string[];
}

/**
 * Takes a minute. Makes the environment if it isn't there. Rejects with SetupError if that fails, or
 * with AbortError after `signal`; what can't be built is no rejection.
 */
export async function buildNative(options: EnvironmentOptions = {}): Promise<NativeBuild> {
  await ensurePython(options);
  return outcomeOf(await build(toolOptions(options)));
}
