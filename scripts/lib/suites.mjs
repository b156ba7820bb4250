/** The test suites: how each is run and how its results are read. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isNativeBuilt } from "./native.mjs";
import { setupFolder } from "./node.mjs";
import { packageRoot } from "./paths.mjs";
import { environmentFolder, interpreterOf } from "./python.mjs";

/**
 * @typedef {{ passed: number, failed: number, skipped: number }} Count
 * @typedef {{
 *   id: string,
 *   command: string[],
 *   env?: Record<string, string>,
 *   report: string,
 *   read: (report: string) => Count,
 * }} Suite `report`: the file that the command writes and `read` understands.
 */

const script = (...path) => [process.execPath, join(packageRoot, ...path)];
const reportOf = (name) => join(setupFolder, "results", name);

function vitest(id, ...folders) {
  const report = reportOf(`${id}.json`);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  return {
    id,
    command: [...script("node_modules", ".bin", "vitest"), "run", ...reporters, ...folders],
    report,
    read: readVitest,
  };
}

function pytest() {
  const report = reportOf("python.xml");
  const python = interpreterOf(environmentFolder());
  return {
    id: "python",
    command: [python, "-m", "pytest", "tests/python", `--junitxml=${report}`],
    report,
    read: readJunit,
  };
}

function consumers() {
  const report = reportOf("consumers.json");
  return {
    id: "consumers",
    command: [...script("scripts", "consumers.mjs"), "--report", report],
    report,
    read: (text) => JSON.parse(text),
  };
}

function checks() {
  const report = reportOf("check.json");
  return {
    id: "check",
    command: [...script("scripts", "check.mjs"), "--report", report],
    report,
    read: (text) => JSON.parse(text),
  };
}

function conformance() {
  const report = reportOf("conformance.json");
  return {
    id: "conformance",
    command: [...script("scripts", "conformance.mjs"), "--quick", "--report", report],
    report,
    read: (text) => JSON.parse(text),
  };
}

/** What native parts, or their lack, can change end to end; the rest is the same with and without. */
const aboutNative = ["model", "native", "survival"].map((name) => `tests/e2e/${name}.test.ts`);

/** End to end with native parts: all of them; and what they can change with none, and with broken ones. */
function endToEnd() {
  const runs = isNativeBuilt()
    ? { e2e: "on", "e2e-off": "off", "e2e-broken": "broken" }
    : { e2e: "auto" };
  return Object.entries(runs).map(([id, mode]) => ({
    ...vitest(id, ...(id === "e2e" ? ["tests/e2e"] : aboutNative)),
    env: { E2E_NATIVE: mode },
  }));
}

/** Lives under seeded faults, in virtual time. */
function simulation() {
  const report = reportOf("simulation.json");
  return {
    id: "simulation",
    command: [...script("scripts", "simulate.mjs"), "--report", report],
    report,
    read: (text) => JSON.parse(text),
  };
}

/** Optional, as the module is: its suite exists where that could be built with its tests. */
function native() {
  const build = join(packageRoot, "native", "build");
  if (!existsSync(join(build, "CTestTestfile.cmake"))) return [];
  const report = reportOf("native.xml");
  // The CMake that built it may be one of ours, which is on no PATH.
  const cache = readFileSync(join(build, "CMakeCache.txt"), "utf8");
  const ctest = /^CMAKE_CTEST_COMMAND:\w+=(.+)$/m.exec(cache)?.[1] ?? "ctest";
  const command = [ctest, "--test-dir", build, "--output-on-failure", "--output-junit", report];
  return [{ id: "native", command, report, read: readJunit }];
}

export const suiteIds = [
  "check",
  "machines",
  "ts",
  "python",
  "consumers",
  "simulation",
  "conformance",
  "cases",
  "faults",
  "e2e",
  "e2e-off",
  "e2e-broken",
  "native",
];

/** @returns {Suite[]} In the order in which they run: what fails fastest first. */
export function allSuites() {
  return [
    checks(),
    vitest("machines", "tests/machines"),
    vitest("ts", "tests/ts", "tests/scripts"),
    pytest(),
    consumers(),
    simulation(),
    conformance(),
    vitest("cases", "tests/cases"),
    vitest("faults", "tests/faults"),
    ...endToEnd(),
    ...native(),
  ];
}

/**
 * @param {string} text Vitest's JSON report.
 * @returns {Count}
 */
export function readVitest(text) {
  const { numPassedTests, numFailedTests, numTotalTests, testResults } = JSON.parse(text);
  // A file that can't be loaded fails without a test.
  const broken = testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.length === 0,
  );
  return {
    passed: numPassedTests,
    failed: numFailedTests + broken.length,
    skipped: numTotalTests - numPassedTests - numFailedTests,
  };
}

/**
 * @param {string} text JUnit's XML, as pytest and ctest write it.
 * @returns {Count}
 */
export function readJunit(text) {
  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const [attributes] of text.matchAll(/<testsuite [^>]*>/g)) {
    const number = (name) => Number(new RegExp(`\\s${name}="(\\d+)"`).exec(attributes)?.[1] ?? 0);
    const failed = number("failures") + number("errors");
    const skipped = number("skipped") + number("disabled");
    count.failed += failed;
    count.skipped += skipped;
    count.passed += number("tests") - failed - skipped;
  }
  return count;
}

/**
 * What a suite's run counts as: a suite that ended badly without a failed test has failed, and so has
 * one that ran no test.
 * @param {Suite} suite
 * @param {number} exitCode
 * @returns {Count}
 */
export function countOf(suite, exitCode) {
  const none = { passed: 0, failed: 0, skipped: 0 };
  const count = existsSync(suite.report) ? suite.read(readFileSync(suite.report, "utf8")) : none;
  const ran = count.passed + count.failed > 0;
  return ran && (exitCode === 0 || count.failed > 0)
    ? count
    : { ...count, failed: count.failed + 1 };
}
