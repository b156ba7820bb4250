/** The test suites: how each is run and how its results are read. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setupFolder } from "../../setup/clone/node.mjs";
import { isNativeBuilt } from "../../setup/native/build.mjs";
import { cacheFolder, packageRoot } from "../../setup/paths.mjs";
import { environmentFolder, interpreterOf } from "../../setup/python.mjs";

/**
 * @typedef {{ passed: number, failed: number, skipped: number, failures?: string[] }} Count `failures`: a
 *   text for each test that failed, its name first, where the report tells.
 * @typedef {{
 *   id: string,
 *   command: string[],
 *   env?: Record<string, string>,
 *   report: string,
 *   read: (report: string) => Count,
 *   waits?: boolean,
 * }} Suite `report`: the file that the command writes and `read` understands; `waits`: it leaves cores idle, for
 *   processes to start and for times to pass.
 */

const failureLinesMax = 12;

const script = (...path) => [process.execPath, join(packageRoot, ...path)];
const reportOf = (name) => join(setupFolder, "results", name);

/** `given`: files and folders, and flags of Vitest. */
function vitest(id, ...given) {
  const report = reportOf(`${id}.json`);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  return {
    id,
    command: [...script("node_modules", ".bin", "vitest"), "run", ...reporters, ...given],
    report,
    read: readVitest,
  };
}

function pytest() {
  const report = reportOf("python.xml");
  const python = interpreterOf(environmentFolder());
  // A file's tests share models that are dear to build: a file stays in one process.
  const parallel = ["-n", "auto", "--maxprocesses", "4", "--dist", "loadfile"];
  // In the order of tests/python/conftest.py: by default a file of one long test comes last.
  parallel.push("--no-loadscope-reorder");
  return {
    id: "python",
    command: [python, "-m", "pytest", "tests/python", ...parallel, `--junitxml=${report}`],
    // Where the set-up has put the model, whatever says so here.
    env: { MLX_SERVING_CACHE: cacheFolder() },
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
const aboutNative = {
  "e2e-off": ["native", "survival"],
  "e2e-broken": ["native", "survival"],
};

/** End to end with native parts: all of them; and what they can change with none, and with broken ones. */
function endToEnd() {
  const runs = isNativeBuilt()
    ? { e2e: "on", "e2e-off": "off", "e2e-broken": "broken" }
    : { e2e: "auto" };
  return Object.entries(runs).map(([id, mode]) => ({
    ...vitest(
      id,
      // A model takes all cores: more than two servers at a time would only wait for each other. One alone leaves
      // cores idle whenever it starts, or its client waits.
      "--maxWorkers=2",
      ...(aboutNative[id]?.map((name) => `tests/e2e/${name}.test.ts`) ?? ["tests/e2e"]),
    ),
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
  "ts",
  "cases",
  "faults",
  "e2e",
  "e2e-off",
  "e2e-broken",
  "console",
  "conformance",
  "consumers",
  "machines",
  "simulation",
  "python",
  "native",
];

/** @returns {Suite[]} In the order in which they begin, of each kind: what fails fastest first. */
export function allSuites() {
  const waiting = [
    checks(),
    vitest("ts", "tests/ts", "tests/setup", "tests/scripts"),
    vitest("cases", "tests/cases"),
    // More at a time than there are cores.
    vitest("faults", "--maxWorkers=3", "tests/faults"),
    ...endToEnd(),
    // One browser at a time: two would only wait for each other. Skipped, and counted so, where there is none.
    vitest("console", "--maxWorkers=1", "tests/console"),
    conformance(),
    consumers(),
  ];
  const computing = [vitest("machines", "tests/machines"), simulation(), pytest(), ...native()];
  return [...waiting.map((suite) => ({ ...suite, waits: true })), ...computing];
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
    failures: [
      ...broken.map(({ name, message }) => failure(name, message)),
      ...testResults.flatMap(({ name, assertionResults }) =>
        assertionResults
          .filter(({ status }) => status === "failed")
          .map((test) => failure(`${name} > ${test.fullName}`, test.failureMessages?.[0])),
      ),
    ],
  };
}

/** What is repeated at the end of a run: the name and how the message begins. */
function failure(name, message = "") {
  const lines = message.split("\n").slice(0, failureLinesMax);
  return [name.replace(`${packageRoot}/`, ""), ...lines.map((line) => `    ${line}`)].join("\n");
}

/**
 * @param {string} text JUnit's XML, as pytest and ctest write it.
 * @returns {Count}
 */
export function readJunit(text) {
  const count = { passed: 0, failed: 0, skipped: 0, failures: junitFailures(text) };
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

function junitFailures(text) {
  const cases = text.matchAll(/<testcase ([^>]*[^/>])>\s*<(?:failure|error) ?([^>]*)>/g);
  return [...cases].map(([, test, outcome]) => {
    const group = attribute(test, "classname");
    return failure(
      `${group ? `${group} > ` : ""}${attribute(test, "name")}`,
      attribute(outcome, "message"),
    );
  });
}

function attribute(attributes, name) {
  const text = new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(attributes)?.[1] ?? "";
  const named = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(/&(?:#(x?)([\da-f]+)|(\w+));/gi, (_, isHex, number, entity) =>
    entity ? (named[entity] ?? "") : String.fromCodePoint(Number.parseInt(number, isHex ? 16 : 10)),
  );
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
