/**
 * The end of compiling TypeScript: bundles the command line of `dist/src-ts/cli` into `dist/cli`, which is what
 * `mlx-serving` runs.
 *
 *   node scripts/build-command-line.mjs
 */
import { buildCommandLine } from "./lib/command-line.mjs";

const { files, ms } = await buildCommandLine();
process.stdout.write(`command line: ${files} files, ${ms} ms\n`);
