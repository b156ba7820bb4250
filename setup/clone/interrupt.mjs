/** How a script of the set-up ends early: on a signal, or with one sentence about what failed. */
import { setMaxListeners } from "node:events";
import { relative } from "node:path";
import { SetupError } from "../process.mjs";

const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };

/**
 * Runs `work`; a signal aborts it, waits until its programs have ended, and exits as the signal would.
 * A SetupError is printed with the end of the failed program's output.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function interruptible(work) {
  const abort = new AbortController();
  // A bench has as many listeners as requests under way.
  setMaxListeners(0, abort.signal);
  let received;
  const handler = (name) => {
    received ??= name;
    abort.abort();
  };
  const names = Object.keys(exitCodes);
  for (const name of names) process.on(name, handler);
  try {
    return await work(abort.signal);
  } catch (error) {
    if (received !== undefined) {
      process.stderr.write("Interrupted; the next run goes on from here.\n");
      process.exit(exitCodes[received]);
    }
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(describe(error));
    process.exit(error.exitCode);
  } finally {
    for (const name of names) process.off(name, handler);
  }
}

function describe(error) {
  const tail = error.tail.map((line) => `  | ${line}\n`).join("");
  const log =
    error.logFile === undefined ? "" : `The whole log: ${relative(process.cwd(), error.logFile)}\n`;
  return `${tail}${error.message}\n${log}`;
}
