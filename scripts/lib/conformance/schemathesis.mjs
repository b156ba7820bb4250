/** HTTP: requests made from docs/openapi.json, right and wrong ones, and whether the answers are as it says. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../../setup/paths.mjs";
import { run, SetupError } from "../../../setup/process.mjs";
import { readJunit } from "../suites.mjs";
import { conformanceFolder, conformanceTests } from "./environment.mjs";

/**
 * @param {{ tools: string, url: string, key: string, examples: number, seed: number | undefined, exclusions: { skipped: { operations: string[] }[] }, signal: AbortSignal }} options
 *   `examples`: random requests for each operation and phase.
 * @returns {Promise<import("./kosoku.mjs").Outcome>}
 */
export async function runSchemathesis(options) {
  const folder = join(conformanceFolder, "schemathesis");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const report = join(folder, "junit.xml");
  const args = argumentsOf(options, writeDocument(folder), report);
  const env = { ...process.env, PYTHONPATH: conformanceTests, SCHEMATHESIS_HOOKS: "hooks" };
  const logFile = join(folder, "output.txt");
  let isBad = false;
  await run(join(options.tools, "schemathesis"), args, {
    env,
    logFile,
    cwd: folder,
    signal: options.signal,
  }).catch((error) => {
    if (!(error instanceof SetupError)) throw error;
    isBad = true;
  });
  const count = readJunit(readFileSync(report, "utf8"));
  const failures = isBad ? failuresIn(readFileSync(logFile, "utf8")) : [];
  return { ...count, failed: isBad ? Math.max(1, count.failed) : count.failed, failures };
}

/** The server under test has keys, so none of its routes but the open ones goes without. */
function writeDocument(folder) {
  const document = JSON.parse(readFileSync(join(packageRoot, "docs", "openapi.json"), "utf8"));
  document.security = [{ key: [] }];
  const path = join(folder, "openapi.json");
  writeFileSync(path, JSON.stringify(document));
  return path;
}

function argumentsOf({ url, key, examples, seed, exclusions }, document, report) {
  const skipped = exclusions.skipped.flatMap(({ operations }) => operations);
  return [
    ...["--config-file", join(conformanceTests, "schemathesis.toml"), "run", document],
    ...["--url", url, "--header", `Authorization: Bearer ${key}`, "--no-color"],
    ...["--max-examples", String(examples), "--continue-on-failure"],
    ...(seed === undefined ? [] : ["--seed", String(seed)]),
    ...["--report", "junit", "--report-junit-path", report],
    ...skipped.flatMap((id) => ["--exclude-operation-id", id]),
  ];
}

/** Its own summary, from the first failure on. */
function failuresIn(output) {
  const start = output.search(/^=+ (FAILURES|ERRORS) =+$/m);
  return [output.slice(start < 0 ? -4000 : start)];
}
