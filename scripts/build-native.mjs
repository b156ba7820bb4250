/**
 * `npm run build:native`: builds krserve_native into the project's Python environment, making that first
 * if it isn't there. Exit code 1 and one line if it can't be built; everything works without it.
 *
 *   npm run build:native
 *   npm run build:native -- --tests     the C++ tests and benchmarks too: ctest --test-dir native/build
 */
import { relative } from "node:path";
import { interruptible } from "./lib/interrupt.mjs";
import { buildNative } from "./lib/native.mjs";
import { logOf } from "./lib/node.mjs";
import { ensureEnvironment } from "./lib/python.mjs";

const args = process.argv.slice(2);
if (args.some((argument) => argument !== "--tests")) {
  process.stderr.write("Usage: npm run build:native [-- --tests]\n");
  process.exit(2);
}

const logFile = logOf("native");
const result = await interruptible(async (signal) => {
  await ensureEnvironment({ signal, logFile });
  process.stdout.write("Building krserve_native, which takes a minute …\n");
  return buildNative({ tests: args.includes("--tests"), signal, logFile });
});
if (result.built) {
  process.stdout.write("krserve_native is built.\n");
} else {
  process.stderr.write(`krserve_native is not built: ${result.reason}\n`);
  process.stderr.write(`The whole log: ${relative(process.cwd(), logFile)}\n`);
  process.exitCode = 1;
}
