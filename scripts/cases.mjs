/**
 * `npm run cases`: the set-up, then requests that real clients have sent and what is right for each, against
 * the built program on the embedded model and on the fake engine. The format: tests/cases/cases.ts.
 *
 *   npm run cases
 *   npm run cases -- FILE      another list; what its `and` says in words is checked where ours has the same request
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { interruptible } from "../setup/clone/interrupt.mjs";
import { setUp } from "../setup/clone/setup.mjs";
import { packageRoot } from "../setup/paths.mjs";

const [given, ...more] = process.argv.slice(2);
const file = given === undefined ? undefined : resolve(given);
if (more.length > 0 || (file !== undefined && !existsSync(file))) {
  process.stderr.write("usage: npm run cases [-- FILE], where FILE is a list of cases.\n");
  process.exit(2);
}
await interruptible((signal) => setUp({ model: true, native: true, signal }));
const vitest = join(packageRoot, "node_modules", "vitest", "vitest.mjs");
const { status } = spawnSync(process.execPath, [vitest, "run", "tests/cases"], {
  cwd: packageRoot,
  stdio: "inherit",
  env: { ...process.env, ...(file !== undefined && { CASES_FILE: file }) },
});
process.exit(status ?? 1);
