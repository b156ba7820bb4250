/**
 * `npm run schemas`: the set-up, then every schema of tests/fixtures/schemas answered by the embedded model, and
 * each answer validated. See tests/schemas/model.test.ts.
 *
 *   npm run schemas
 *   npm run schemas -- --answers 5 --matching tools
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { interruptible } from "../setup/clone/interrupt.mjs";
import { setUp } from "../setup/clone/setup.mjs";
import { packageRoot } from "../setup/paths.mjs";

const { values } = parseArgs({
  options: {
    answers: { type: "string", default: "20" },
    matching: { type: "string", default: "" },
  },
});
await interruptible((signal) => setUp({ model: true, native: true, signal }));
const vitest = join(packageRoot, "node_modules", "vitest", "vitest.mjs");
const { status } = spawnSync(process.execPath, [vitest, "run", "tests/schemas"], {
  cwd: packageRoot,
  stdio: "inherit",
  env: { ...process.env, SCHEMAS_ANSWERS: values.answers, SCHEMAS_MATCHING: values.matching },
});
process.exit(status ?? 1);
