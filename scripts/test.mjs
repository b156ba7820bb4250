/**
 * `npm test`: the set-up, then every test suite, or those that are named. At the end come the tests that
 * failed, a line a suite, and as the last line the sum over all of them; the exit code is 1 if a test fails
 * or a suite runs none.
 *
 *   npm test
 *   npm test -- machines ts
 */
import { spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { interruptible } from "../setup/clone/interrupt.mjs";
import { setUp } from "../setup/clone/setup.mjs";
import { packageRoot } from "../setup/paths.mjs";
import { withBytecode } from "./lib/bytecode.mjs";
import { allSuites, countOf, suiteIds } from "./lib/suites.mjs";

const wanted = process.argv.slice(2);
const unknown = wanted.filter((id) => !suiteIds.includes(id));
if (unknown.length > 0) {
  process.stderr.write(
    `There is no suite ${unknown.join(", ")}; there are ${suiteIds.join(", ")}.\n`,
  );
  process.exit(2);
}

await interruptible((signal) => setUp({ model: true, native: "with tests", signal }));
const results = [];
for (const suite of allSuites()) {
  if (wanted.length > 0 && !wanted.includes(suite.id)) continue;
  process.stdout.write(`\n── ${suite.id} ──\n`);
  const begin = performance.now();
  const count = await runSuite(suite);
  results.push({ id: suite.id, seconds: Math.round((performance.now() - begin) / 1000), ...count });
}
process.exitCode = summarize(results) > 0 ? 1 : 0;

/** The programs share our terminal and our process group: Ctrl-C reaches them, SIGTERM is passed on. */
function runSuite(suite) {
  mkdirSync(dirname(suite.report), { recursive: true });
  rmSync(suite.report, { force: true });
  const [program, ...args] = suite.command;
  const child = spawn(program, args, {
    cwd: packageRoot,
    env: { ...withBytecode(process.env), ...suite.env },
    stdio: "inherit",
  });
  const stop = (name) => {
    if (name === "SIGTERM") child.kill(name);
    child.once("close", () => process.exit(name === "SIGINT" ? 130 : 143));
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  return new Promise((resolve) => {
    const finish = (code) => {
      process.off("SIGINT", stop).off("SIGTERM", stop);
      resolve(countOf(suite, code ?? 1));
    };
    child.once("error", (error) => {
      process.stderr.write(`${program}: ${error.message}\n`);
      finish(1);
    });
    child.once("close", finish);
  });
}

/** Prints what failed, a line a suite and the sum, which stays the very last line. Returns the failures' number. */
function summarize(counts) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const { id, failures = [] } of counts)
    for (const failure of failures) process.stdout.write(`\n✗ ${id}: ${failure}\n`);
  process.stdout.write("\n");
  for (const { id, seconds, ...count } of counts) {
    process.stdout.write(`${id.padEnd(11)} ${sentence(count)} (${seconds} s)\n`);
    for (const name of Object.keys(total)) total[name] += count[name];
  }
  process.stdout.write(`${sentence(total)}\n`);
  return total.failed;
}

function sentence({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
