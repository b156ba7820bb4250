/**
 * `npm run families`: every family of the pinned mlx-lm as a tiny random model, served and compared with mlx-lm
 * alone; writes docs/MODELS.md. Some minutes.
 *
 *   npm run families
 *   npm run families -- --only gemma2 llama4      prints what it sees, and writes nothing
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { packageRoot, pythonProject } from "../setup/paths.mjs";
import { environmentFolder, interpreterOf } from "../setup/python.mjs";

const { status } = spawnSync(
  interpreterOf(environmentFolder()),
  ["-m", "families", ...process.argv.slice(2)],
  {
    cwd: join(packageRoot, "python"),
    stdio: "inherit",
    env: { ...process.env, PYTHONPATH: pythonProject },
  },
);
process.exitCode = status ?? 1;
