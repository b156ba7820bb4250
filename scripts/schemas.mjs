/**
 * `npm run schemas`: the set-up, then every schema of tests/fixtures/schemas answered by the embedded model, and
 * each answer validated; then the same schemas as those of a tool that must be called. See tests/schemas.
 *
 *   npm run schemas
 *   npm run schemas -- --answers 5 --matching tools
 *   npm run schemas -- --as tools --every 5
 *   npm run schemas -- --every 4 --from 2
 *   npm run schemas -- --as tools --engine fake
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
    as: { type: "string", default: "" },
    every: { type: "string", default: "1" },
    from: { type: "string", default: "1" },
    engine: { type: "string", default: "mlx" },
  },
});
if (!["mlx", "fake"].includes(values.engine)) {
  process.stderr.write(`--engine is mlx or fake, not ${JSON.stringify(values.engine)}.\n`);
  process.exit(2);
}
if (values.engine === "fake" && values.as !== "tools") {
  process.stderr.write("--engine fake is for --as tools.\n");
  process.exit(2);
}
await interruptible((signal) => setUp({ model: true, native: true, signal }));
const vitest = join(packageRoot, "node_modules", "vitest", "vitest.mjs");
const files = { answers: "model", tools: "tools" };
const folder = values.as in files ? `tests/schemas/${files[values.as]}.test.ts` : "tests/schemas";
const { status } = spawnSync(process.execPath, [vitest, "run", folder], {
  cwd: packageRoot,
  stdio: "inherit",
  env: {
    ...process.env,
    SCHEMAS_ANSWERS: values.answers,
    SCHEMAS_MATCHING: values.matching,
    SCHEMAS_EVERY: values.every,
    SCHEMAS_FROM: values.from,
    SCHEMAS_ENGINE: values.engine,
  },
});
process.exit(status ?? 1);
