/**
 * `npm run check`: style and types of everything. Exit code 1 if one check fails.
 *
 *   node scripts/check.mjs [--report FILE]    FILE: gets the counts as JSON
 */
import { writeFileSync } from "node:fs";
import { interruptible } from "../setup/clone/interrupt.mjs";
import { installPackages } from "../setup/clone/setup.mjs";
import { runChecks } from "./lib/checks.mjs";

const [flag, report] = process.argv.slice(2);
await interruptible((signal) => installPackages({ signal }));
const count = await runChecks();
if (flag === "--report") writeFileSync(report, JSON.stringify(count));
process.exitCode = count.failed > 0 ? 1 : 0;
