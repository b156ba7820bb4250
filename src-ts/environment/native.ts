/**
 * The native parts of the Python environment: built when a server first starts, or when somebody asks; and
 * what is said where they are missing. Where they lie and what they are built from is the scripts' matter.
 */
import { buildNative as build, ensureNative, nativeResults } from "../../setup/native/build.mjs";
import { pythonPath } from "../../setup/native/home.mjs";
import { partsInUse } from "../../setup/native/parts.mjs";
import { outcomeOf } from "../../setup/native/reasons.mjs";
import { isForeign } from "../../setup/python.mjs";
import type { ServeConfig } from "../options.js";
import { shellCommand } from "./invocation.js";
import { type EnvironmentOptions, ensurePython, toolOptions } from "./python.js";

export interface NativeBuild {
  /** Names of what is there now. */
  built: string[];
  /** Why others are not, one line for each reason. */
  failures: string[];
}

/** What a start builds depends on these options of `serve`. */
export type NativeWish = Pick<ServeConfig, "native" | "nativeParts" | "noBuild" | "engine">;

/** The part without which everybody notices; docs/NATIVE.md has the measurement. */
const mainPart = "krserve_mlx_ops";
const priceText =
  "Stock MLX does the work at 1/34 of the speed, with 16 streams at 1/60 (measured on two cores, docs/NATIVE.md).";

/**
 * Takes a minute. Makes the environment if it isn't there. Rejects with SetupError if that fails, or
 * with AbortError after `signal`; what can't be built is no rejection.
 */
export async function buildNative(options: EnvironmentOptions = {}): Promise<NativeBuild> {
  await ensurePython(options);
  return outcomeOf(await build(toolOptions(options)));
}

/**
 * Builds what a server with these options will use and what isn't there yet: a minute, once. Then says in
 * one line what is missing all the same, and its price. The environment must be there. Rejects only with
 * AbortError, after `signal`.
 */
export async function ensureNativeParts(
  wish: NativeWish,
  options: EnvironmentOptions = {},
): Promise<void> {
  const { env = process.env, onNote } = options;
  const only = partsInUse(wish);
  // Into an environment that the user names nothing is put unless they ask.
  const asked = wish.noBuild || isForeign(env);
  const results = asked
    ? nativeResults(env, { only })
    : await ensureNative({ ...toolOptions(options), only });
  const main = results.find(({ id }) => id === mainPart);
  if (main?.reason) onNote?.(missingText(main.reason));
}

function missingText(reason: string): string {
  return `going on without native parts (${reason}). ${priceText} To build them: ${buildCommand()}`;
}

/** What builds the parts for this very package, however it was called. */
export const buildCommand = () => shellCommand("build-native");

/** Tells a worker which native parts to use, whatever stands in our own environment, and where they are. */
export function nativeEnvironment(
  { native, nativeParts }: Pick<ServeConfig, "native" | "nativeParts">,
  env?: NodeJS.ProcessEnv,
) {
  return {
    PYTHONPATH: pythonPath(env),
    MLX_SERVING_NATIVE: native,
    MLX_SERVING_NATIVE_PARTS: nativeParts?.join(","),
    KRSERVE_BUILD_COMMAND: buildCommand(),
  };
}
