/**
 * `npm run formats`: every chat template that llama.cpp keeps with its sources: how its model calls tools and reasons,
 * and whether parser, grammar and mlx-lm agree; writes docs/TOOL-FORMATS.md. A minute.
 *
 *   npm run formats
 *   npm run formats -- --only Qwen3 Kimi      prints what it sees, and writes nothing
 */
import { spawnSync } from "node:child_process";
import { delimiter, join } from "node:path";
import { packageRoot, pythonProject } from "../setup/paths.mjs";
import { environmentFolder, interpreterOf } from "../setup/python.mjs";

const support = join(packageRoot, "tests", "python", "support");
const { status } = spawnSync(
  interpreterOf(environmentFolder()),
  ["-m", "formats", ...process.argv.slice(2)],
  {
    cwd: join(packageRoot, "python"),
    stdio: "inherit",
    env: { ...process.env, PYTHONPATH: [pythonProject, support].join(delimiter) },
  },
);
process.exitCode = status ?? 1;
