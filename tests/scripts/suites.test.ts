import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { countOf, readJunit, readVitest } from "../../scripts/lib/suites.mjs";
import { packageRoot } from "../../setup/paths.mjs";
import { longestFiles } from "../support/longest.js";

describe("reading reports", () => {
  it("counts Vitest's tests, and a file that can't be loaded as one failure", () => {
    const report = {
      numTotalTests: 6,
      numPassedTests: 3,
      numFailedTests: 1,
      testResults: [
        { status: "passed", assertionResults: [{}, {}, {}] },
        {
          status: "failed",
          name: "a.test.ts",
          assertionResults: [
            { status: "failed", fullName: "one does", failureMessages: ["expected 1\n  at a"] },
          ],
        },
        { status: "failed", name: "b.test.ts", message: "no such module", assertionResults: [] },
      ],
    };
    expect(readVitest(JSON.stringify(report))).toEqual({
      passed: 3,
      failed: 2,
      skipped: 2,
      failures: [
        "b.test.ts\n    no such module",
        "a.test.ts > one does\n    expected 1\n      at a",
      ],
    });
  });

  it("counts JUnit's suites, errors as failures", () => {
    const pytest =
      '<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10">';
    expect(readJunit(pytest)).toMatchObject({ passed: 4, failed: 3, skipped: 3 });
    const ctest = '<testsuite name="x" tests="5" failures="1" disabled="1" skipped="1" time="1">';
    expect(readJunit(`${ctest}${ctest}`)).toMatchObject({ passed: 4, failed: 2, skipped: 4 });
  });

  it("names JUnit's failed tests", () => {
    const text = `<testsuite errors="1" failures="1" skipped="0" tests="3">
      <testcase classname="a.b" name="good" time="1" />
      <testcase classname="a.b" name="bad[x &gt; 1]" time="1"><failure message="assert 1 &lt; 0&#10;where">…</failure></testcase>
      <testcase classname="" name="broken" time="1"><error message="gone">…</error></testcase></testsuite>`;
    expect(readJunit(text).failures).toEqual([
      "a.b > bad[x > 1]\n    assert 1 < 0\n    where",
      "broken\n    gone",
    ]);
  });
});

it("the files that begin first are there", () => {
  expect(longestFiles.filter((name) => !existsSync(join(packageRoot, name)))).toEqual([]);
});

describe("counting a suite", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "mlx-serving-suite-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function suiteWith(count: object | undefined) {
    const report = join(folder, "report.json");
    if (count !== undefined) writeFileSync(report, JSON.stringify(count));
    return { id: "s", command: [], report, read: (text: string) => JSON.parse(text) };
  }

  it("takes the report's word", () => {
    const count = { passed: 2, failed: 0, skipped: 1 };
    expect(countOf(suiteWith(count), 0)).toEqual(count);
    const failing = { passed: 2, failed: 3, skipped: 1 };
    expect(countOf(suiteWith(failing), 1)).toEqual(failing);
  });

  it("counts a bad end without a failed test as a failure", () => {
    const suite = suiteWith({ passed: 2, failed: 0, skipped: 0 });
    expect(countOf(suite, 1)).toEqual({ passed: 2, failed: 1, skipped: 0 });
  });

  it("counts a suite that ran nothing, or left no report, as a failure", () => {
    expect(countOf(suiteWith(undefined), 0)).toEqual({ passed: 0, failed: 1, skipped: 0 });
    const idle = suiteWith({ passed: 0, failed: 0, skipped: 4 });
    expect(countOf(idle, 0)).toEqual({ passed: 0, failed: 1, skipped: 4 });
  });
});
