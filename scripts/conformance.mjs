/**
 * `npm run conformance`: public suites against the real server on the fake engine. WebSocket by the Autobahn
 * cases, HTTP by requests made from docs/openapi.json. What is left out, and why: tests/conformance/exclusions.json.
 *
 *   node scripts/conformance.mjs [--quick] [--seed N] [--report FILE]
 *
 * --quick: fewer random requests, always the same ones, as in `npm test`. FILE gets the counts as JSON.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { interruptible } from "../setup/clone/interrupt.mjs";
import {
  conformanceFolder,
  conformanceTests,
  ensureConformanceTools,
} from "./lib/conformance/environment.mjs";
import { runKosoku } from "./lib/conformance/kosoku.mjs";
import { runSchemathesis } from "./lib/conformance/schemathesis.mjs";
import { startServer } from "./lib/gate/server.mjs";
import { freePort } from "./lib/processes.mjs";

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    seed: { type: "string" },
    report: { type: "string" },
  },
});
const examples = { quick: 5, long: 200 };
const quickSeed = 1;
const key = "key-of-the-conformance-suites";
const exclusions = JSON.parse(readFileSync(join(conformanceTests, "exclusions.json"), "utf8"));

async function suites(signal) {
  mkdirSync(conformanceFolder, { recursive: true });
  const tools = await ensureConformanceTools(signal);
  const folder = mkdtempSync(join(tmpdir(), "mlx-serving-conformance-"));
  writeFileSync(join(folder, "keys.txt"), `${key}\n`);
  const echoPort = await freePort();
  const server = await startServer({
    flags: [
      ...["--engine", "fake", "--ws-echo-port", String(echoPort), "--log-level", "warn"],
      ...["--api-key-file", join(folder, "keys.txt")],
    ],
    env: {},
    signal,
  });
  try {
    const address = `127.0.0.1:${echoPort}`;
    const kosoku = await runKosoku({ tools, address, exclusions: exclusions.kosoku, signal });
    tell("WebSocket (kosoku)", kosoku);
    const http = await runSchemathesis({
      ...{ tools, url: server.url, key, signal, exclusions: exclusions.schemathesis },
      examples: flags.quick ? examples.quick : examples.long,
      seed: flags.seed === undefined ? (flags.quick ? quickSeed : undefined) : Number(flags.seed),
    });
    tell("HTTP (schemathesis)", http);
    return [kosoku, http];
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true });
  }
}

function tell(name, { failures, ...count }) {
  for (const failure of failures) process.stdout.write(`${failure}\n`);
  process.stdout.write(`${name}: ${sentence(count)}\n`);
}

function sentence({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

function explainExclusions() {
  for (const [suite, { skipped, endedByLimit = [] }] of Object.entries(exclusions)) {
    for (const { reason, cases, operations } of skipped)
      process.stdout.write(`${suite} leaves out ${(cases ?? operations).join(", ")}: ${reason}\n`);
    for (const { reason, cases, closeCode } of endedByLimit)
      process.stdout.write(`${suite} ends ${cases.join(", ")} with ${closeCode}: ${reason}\n`);
  }
}

explainExclusions();
const outcomes = await interruptible(suites);
const sum = (name) => outcomes.reduce((total, outcome) => total + outcome[name], 0);
const total = { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") };
process.stdout.write(`${sentence(total)}\n`);
if (flags.report !== undefined) writeFileSync(flags.report, JSON.stringify(total));
process.exitCode = total.failed > 0 ? 1 : 0;
