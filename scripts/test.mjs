/**
 * `npm test`: the set-up, then every test suite, or those that are named; of several two at a time, and what one
 * says is printed when it has ended. At the end come the tests that failed, a line a suite, and as the last line the
 * sum over all of them; the exit code is 1 if a test fails or a suite runs none.
 *
 *   npm test
 *   npm test -- machines ts
 */
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { interruptible } from "../setup/clone/interrupt.mjs";
import { setUp } from "../setup/clone/setup.mjs";
import { packageRoot } from "../setup/paths.mjs";
import { withBytecode } from "./lib/bytecode.mjs";
import { inStrands } from "./lib/strands.mjs";
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
const suites = allSuites().filter(({ id }) => wanted.length === 0 || wanted.includes(id));
const running = new Set();
/** Ctrl-C reaches the programs too, which share our process group; SIGTERM is passed on. */
for (const [signal, exitCode] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
])
  process.once(signal, async () => {
    const ended = [...running].map((child) => new Promise((done) => child.once("close", done)));
    if (signal === "SIGTERM") for (const child of running) child.kill(signal);
    await Promise.all(ended);
    process.exit(exitCode);
  });
const results =
  suites.length === 1
    ? [await runAlone(suites[0])]
    : await inStrands(suites, (suite) => runBeside(suite));
process.exitCode = summarize(results) > 0 ? 1 : 0;

/** One that is run alone speaks while it runs. */
function runAlone(suite) {
  process.stdout.write(`\n── ${suite.id} ──\n`);
  return timed(suite, "inherit");
}

async function runBeside(suite) {
  const log = suite.report.replace(/\.\w+$/, ".log");
  process.stdout.write(`▸ ${suite.id} …\n`);
  mkdirSync(dirname(log), { recursive: true });
  const output = openSync(log, "w");
  try {
    return await timed(suite, ["ignore", output, output]);
  } finally {
    closeSync(output);
    process.stdout.write(`\n── ${suite.id} ──\n${readFileSync(log, "utf8")}\n`);
  }
}

async function timed(suite, stdio) {
  const begin = performance.now();
  const count = await runSuite(suite, stdio);
  return { id: suite.id, seconds: Math.round((performance.now() - begin) / 1000), ...count };
}

function runSuite(suite, stdio) {
  mkdirSync(dirname(suite.report), { recursive: true });
  rmSync(suite.report, { force: true });
  const [program, ...args] = suite.command;
  const env = { ...withBytecode(process.env), ...suite.env };
  const child = spawn(program, args, { cwd: packageRoot, env, stdio });
  running.add(child);
  return new Promise((resolve) => {
    const finish = (code) => {
      running.delete(child);
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
