/** The folder in which computed prompts survive a server, as `MLX_SERVING_PREFIX_CACHE_DIR` names it. Changes nothing. */
import { accessSync, constants, readdirSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

export interface PrefixFolderReport {
  path: string;
  /** Of all models. */
  blocks: number;
  bytes: number;
  /** Why a server would go on without it; null: it can be used, and is made where it isn't there. */
  reason: string | null;
}

/** As python/mlx_serving/mlx/disk_files.py has them. */
const ownFolder = "kv-blocks";
const blockName = /^[0-9a-f]{32}\.safetensors$/;

/** null: none is named. */
export function prefixFolder(env: NodeJS.ProcessEnv): PrefixFolderReport | null {
  const named = env.MLX_SERVING_PREFIX_CACHE_DIR;
  if (named === undefined || named === "") return null;
  const path = resolve(named);
  try {
    accessSync(existing(join(path, ownFolder)), constants.R_OK | constants.W_OK | constants.X_OK);
    return { path, ...held(join(path, ownFolder)), reason: null };
  } catch (error) {
    return { path, blocks: 0, bytes: 0, reason: (error as Error).message };
  }
}

/** The folder, or the one in which it would be made. */
function existing(folder: string): string {
  const found = statSync(folder, { throwIfNoEntry: false });
  if (found === undefined) return existing(dirname(folder));
  if (!found.isDirectory()) throw new Error(`${folder} is no folder`);
  return folder;
}

function held(folder: string): { blocks: number; bytes: number } {
  if (statSync(folder, { throwIfNoEntry: false }) === undefined) return { blocks: 0, bytes: 0 };
  const sizes = readdirSync(folder)
    .filter((name) => blockName.test(name))
    .map((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0);
  return { blocks: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}
