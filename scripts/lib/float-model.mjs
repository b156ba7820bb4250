/** A model without its quantization, which a BLAS can multiply. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { cacheFolder } from "../../setup/paths.mjs";
import { run } from "../../setup/process.mjs";
import { environmentFolder, interpreterOf } from "../../setup/python.mjs";

/**
 * Made once for a folder, in the user's cache.
 * @param {string} model Its folder.
 * @param {{ signal?: AbortSignal, logFile?: string }} [options]
 * @returns {Promise<string>}
 */
export async function ensureFloatModel(model, options = {}) {
  const name = createHash("sha256").update(resolve(model)).digest("hex").slice(0, 16);
  const folder = join(cacheFolder(), "bench", `float-${name}`);
  if (existsSync(folder)) return folder;
  const draft = `${folder}.draft`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(dirname(folder), { recursive: true });
  const convert = ["-m", "mlx_lm", "convert", "--dequantize"];
  const paths = ["--hf-path", model, "--mlx-path", draft];
  await run(interpreterOf(environmentFolder()), [...convert, ...paths], options);
  renameSync(draft, folder);
  return folder;
}
