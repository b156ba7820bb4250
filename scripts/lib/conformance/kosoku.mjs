/** WebSocket: the Autobahn cases, by kosoku, against the echo of the server's own socket options. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { run, SetupError } from "../../../setup/process.mjs";
import { conformanceFolder } from "./environment.mjs";

const parallelCases = 4;
const passing = ["OK", "NON-STRICT", "INFORMATIONAL"];

/**
 * @typedef {{ passed: number, failed: number, skipped: number, failures: string[] }} Outcome
 * @typedef {{ cases: string[], closeCode: number, reason: string }} Limit
 */

/**
 * @param {{ tools: string, address: string, exclusions: { skipped: { cases: string[] }[], endedByLimit: Limit[] }, signal: AbortSignal }} options
 * @returns {Promise<Outcome>}
 */
export async function runKosoku({ tools, address, exclusions, signal }) {
  const folder = join(conformanceFolder, "kosoku");
  rmSync(folder, { recursive: true, force: true });
  const excluded = exclusions.skipped.flatMap(({ cases }) => cases).flatMap((id) => ["-x", id]);
  const args = ["-p", String(parallelCases), "-o", folder, ...excluded, `ws://${address}`];
  // It ends badly when a case fails, and some are meant to: its report says what happened.
  await run(join(tools, "kosoku"), args, { signal }).catch((error) => {
    if (!(error instanceof SetupError)) throw error;
  });
  const [results] = Object.values(JSON.parse(readFileSync(join(folder, "index.json"), "utf8")));
  return judge(results, exclusions.endedByLimit);
}

/**
 * A case that a limit ends passes when it is ended in just that way, and fails when it isn't any more.
 * @param {Record<string, { behavior: string, behaviorClose: string, remoteCloseCode: number | null }>} results
 * @param {readonly Limit[]} limits
 * @returns {Outcome}
 */
export function judge(results, limits) {
  const codes = new Map(
    limits.flatMap(({ cases, closeCode }) => cases.map((id) => [id, closeCode])),
  );
  const failures = Object.entries(results).flatMap(([id, result]) => {
    const expected = codes.get(id);
    codes.delete(id);
    return isRight(result, expected) ? [] : [describe(id, result, expected)];
  });
  const missing = [...codes.keys()].map((id) => `${id}: it was not run`);
  const failed = failures.length + missing.length;
  const passed = Object.keys(results).length - failures.length;
  return { passed, failed, skipped: 0, failures: [...failures, ...missing] };
}

function isRight({ behavior, behaviorClose, remoteCloseCode }, limitCode) {
  if (limitCode === undefined) return passing.includes(behavior) && passing.includes(behaviorClose);
  return behavior === "FAILED" && remoteCloseCode === limitCode;
}

function describe(id, { behavior, behaviorClose, remoteCloseCode }, limitCode) {
  const seen = `${behavior}, close ${behaviorClose} with ${remoteCloseCode}`;
  return `${id}: ${seen}${limitCode === undefined ? "" : `; ${limitCode} expected`}`;
}
