/** The key with which a command of ours asks a server, and what is said where it doesn't do. One for all commands. */
import { Option } from "commander";
import { secretIn } from "../keys/file.js";
import { CommandError } from "./failure.js";

export interface KeyFlags {
  apiKey?: string | undefined;
  apiKeyFile?: string | undefined;
}

export const keyOptions = (): Option[] => [
  new Option(
    "--api-key <key>",
    "key of the server (default: MLX_SERVING_API_KEY; others see a command line)",
  ),
  new Option(
    "--api-key-file <file>",
    "or a file, of which the first key is used; a hash is none (default: what MLX_SERVING_API_KEY_FILE names)",
  ),
];

/** A flag before a variable, a key before a file. Undefined: none. Throws ConfigError for a file without one. */
export function keyOf({ apiKey, apiKeyFile }: KeyFlags, env = process.env): string | undefined {
  if (apiKey !== undefined) return apiKey;
  if (apiKeyFile !== undefined) return secretIn(apiKeyFile);
  if (env.MLX_SERVING_API_KEY) return env.MLX_SERVING_API_KEY;
  const named = env.MLX_SERVING_API_KEY_FILE;
  return named ? secretIn(named) : undefined;
}

/** What a 401 means to whoever typed the command. */
export function keyRefused(apiKey: string | undefined, why?: string): CommandError {
  return new CommandError(
    apiKey === undefined
      ? "This server needs a key: give it with --api-key, name a file that holds one with --api-key-file, or set MLX_SERVING_API_KEY or MLX_SERVING_API_KEY_FILE."
      : `This server refuses the key of --api-key, --api-key-file, MLX_SERVING_API_KEY or MLX_SERVING_API_KEY_FILE${why === undefined ? "." : `: ${why}`}`,
  );
}
