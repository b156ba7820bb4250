/**
 * `npm run search`: searches every state of the machines on small configurations, those of `npm test` and
 * larger ones. Takes minutes; prints a line a configuration. Exit code 1 and a trace when a law is broken.
 *
 *   npm run search
 *   npm run search -- "2 workers × 3"     those whose names begin so
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { build } from "esbuild";
import { setupFolder } from "../setup/clone/node.mjs";
import { packageRoot } from "../setup/paths.mjs";

const outfile = join(setupFolder, "search.mjs");
await build({
  absWorkingDir: packageRoot,
  entryPoints: ["tests/machines/exhaustive/main.ts"],
  bundle: true,
  platform: "node",
  format: "esm",
  outfile,
});
// Most of what is made lives for one move: room for it before anything is kept.
const args = ["--max-semi-space-size=64", outfile, ...process.argv.slice(2)];
const { status } = spawnSync(process.execPath, args, { stdio: "inherit" });
process.exitCode = status ?? 1;
