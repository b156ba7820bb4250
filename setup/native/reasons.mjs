/** Why a native part could not be built, in one line: from what failed programs said. */
import { SetupError } from "../process.mjs";

/** @typedef {{ id: string, reason: string | null }} Result Of one part; `reason` null: it is there. */

/** What a compiler says when the machine was too full for it, not the program wrong. */
const fullPattern = /no space left|killed signal|was ended by SIGKILL|out of memory/i;

/**
 * Our own sentence, or the line of the failed program's output that says it.
 * @param {unknown} error
 * @returns {string}
 */
export function reasonOf(error) {
  if (isFull(error)) return "there is no room on the disk, or not enough memory";
  if (!(error instanceof SetupError)) return firstLine(error);
  const said = cmakeError(error.tail) ?? error.tail.find((line) => /\berror\b:/i.test(line));
  return firstLine(said ?? error.message);
}

/**
 * Whether the same may succeed soon, with the same compiler and the same sources.
 * @param {unknown} error
 * @returns {boolean}
 */
export function isPassing(error) {
  return !(error instanceof SetupError) || error.passing || isFull(error);
}

function isFull(error) {
  if (!(error instanceof SetupError)) return error?.code === "ENOSPC" || error?.code === "EDQUOT";
  return [...error.tail, error.message].some((line) => fullPattern.test(line));
}

/** CMake wraps its messages: all lines of the first one as one. */
function cmakeError(lines) {
  const start = lines.findIndex((line) => line.startsWith("CMake Error"));
  if (start === -1) return undefined;
  const rest = lines.slice(start + 1);
  const end = rest.findIndex((line) => !line.startsWith("  "));
  const text = rest.slice(0, end === -1 ? rest.length : end).map((line) => line.trim());
  return text.length > 0 ? text.join(" ") : lines[start];
}

function firstLine(what) {
  const text = what instanceof Error ? what.message : String(what);
  return text.trim().split("\n")[0];
}

/**
 * @param {Result[]} results
 * @returns {{ built: string[], failures: string[] }} Names of what is there now, and lines for the user
 *   about the rest.
 */
export function outcomeOf(results) {
  const built = results.filter(({ reason }) => reason === null).map(({ id }) => id);
  return { built, failures: failureLines(results) };
}

/**
 * The failures as lines for the user, one for each reason.
 * @param {Result[]} results
 * @returns {string[]}
 */
export function failureLines(results) {
  const byReason = new Map();
  for (const { id, reason } of results) {
    if (reason !== null) byReason.set(reason, [...(byReason.get(reason) ?? []), id]);
  }
  return [...byReason].map(([reason, ids]) => `Not built: ${ids.join(", ")}: ${reason}`);
}
