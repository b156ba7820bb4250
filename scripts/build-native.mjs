/**
 * `npm run build:native`: builds the native parts into the project's Python environment, making that
 * first if it isn't there. Exit code 1 and a line for each that can't be built; everything works without.
 *
 *   npm run build:native
 *   npm run build:native -- --tests     the C++ tests and benchmarks too: ctest --test-dir native/build
 */
import { rmSync } from "node:fs";
import { relative } from "node:path";
import { interruptible } from "../setup/clone/interrupt.mjs";
import { logOf } from "../setup/clone/node.mjs";
import { buildNative } from "../setup/native/build.mjs";
import { outcomeOf } from "../setup/native/reasons.mjs";
import { ensureEnvironment } from "../setup/python.mjs";

const args = process.argv.slice(2);
if (args.some((argument) => argument !== "--tests")) {
  process.stderr.write("Usage: npm run build:native [-- --tests]\n");
  process.exit(2);
}

const logFile = logOf("native");
rmSync(logFile, { force: true });
const results = await interruptible(async (signal) => {
  await ensureEnvironment({ signal, logFile });
  process.stdout.write("Building the native parts, which takes a minute …\n");
  return buildNative({ tests: args.includes("--tests"), signal, logFile });
});
const { built, failures } = outcomeOf(results);
if (built.length > 0) process.stdout.write(`Built: ${built.join(", ")}\n`);
if (failures.length > 0) {
  process.stderr.write(`${failures.join("\n")}\n`);
  process.stderr.write(`The whole log: ${relative(process.cwd(), logFile)}\n`);
  process.exitCode = 1;
}
