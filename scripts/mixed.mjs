/**
 * `npm run mixed`: the set-up, then 1,000 requests of all kinds through the embedded model, 64 at a time, while its
 * worker is killed every 5 s: once in the deterministic profile, once in a batch, and once each over a small prefix
 * store and a small budget. See tests/mixed/mixed.test.ts.
 *
 *   npm run mixed
 *   npm run mixed -- --only exact
 *   npm run mixed -- --only store
 *   npm run mixed -- --engine fake
 *   npm run mixed -- --only batch --batch 64
 *   npm run mixed -- --requests 200 --at-once 32 --kill-every 10 --seed 2
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { interruptible } from "../setup/clone/interrupt.mjs";
import { setUp } from "../setup/clone/setup.mjs";
import { packageRoot } from "../setup/paths.mjs";

const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "1000" },
    "at-once": { type: "string", default: "64" },
    "kill-every": { type: "string", default: "5" },
    seed: { type: "string", default: "1" },
    batch: { type: "string", default: "16" },
    only: { type: "string", default: "" },
    engine: { type: "string", default: "mlx" },
  },
});
const choices = { only: ["", "exact", "batch", "store"], engine: ["mlx", "fake"] };
for (const [option, allowed] of Object.entries(choices)) {
  if (allowed.includes(values[option])) continue;
  const names = allowed.filter((name) => name !== "").join(" or ");
  process.stderr.write(`--${option} is ${names}, not ${JSON.stringify(values[option])}.\n`);
  process.exit(2);
}
await interruptible((signal) => setUp({ model: true, native: true, signal }));
const vitest = join(packageRoot, "node_modules", "vitest", "vitest.mjs");
const { status } = spawnSync(process.execPath, [vitest, "run", "tests/mixed"], {
  cwd: packageRoot,
  stdio: "inherit",
  env: {
    ...process.env,
    MIXED_REQUESTS: values.requests,
    MIXED_AT_ONCE: values["at-once"],
    MIXED_KILL_EVERY_S: values["kill-every"],
    MIXED_SEED: values.seed,
    MIXED_BATCH: values.batch,
    MIXED_ONLY: values.only,
    MIXED_ENGINE: values.engine,
  },
});
process.exit(status ?? 1);
