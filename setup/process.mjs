/**
 * Runs the programs of the set-up: output into a log file, its last lines kept for errors, the whole process
 * group ended on abort, and with us.
 */
import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { makeFolder } from "./folders.mjs";

const tailLinesMax = 15;
const outputCharsMax = 1 << 20;
/** What an interrupted program leaves is made anew, so it gets no longer than that to tidy up. */
const killAfterMs = 1_000;

/** A step of the set-up failed. `message` is one sentence that says what to do. */
export class SetupError extends Error {
  /**
   * @param {string} message
   * @param {{ tail?: string[], logFile?: string | undefined, exitCode?: number, passing?: boolean, cause?: unknown }} [details]
   */
  constructor(message, details = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "SetupError";
    /** The last lines that the failed program printed. */
    this.tail = details.tail ?? [];
    this.logFile = details.logFile;
    this.exitCode = details.exitCode ?? 1;
    /** The same may succeed soon: what is out of order is outside of this machine. */
    this.passing = details.passing ?? false;
  }
}

/** @param {AbortSignal | undefined} signal */
export function throwIfAborted(signal) {
  if (signal?.aborted) throw abortError();
}

function abortError() {
  return new DOMException("The set-up was interrupted.", "AbortError");
}

/**
 * Runs a program to its end. Resolves with its standard output (at most 1 MiB of it); rejects with
 * SetupError if it fails, with AbortError once it has ended because of `signal`.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{
 *   cwd?: string,
 *   env?: NodeJS.ProcessEnv,
 *   logFile?: string | undefined,
 *   onLine?: ((line: string) => void) | undefined,
 *   signal?: AbortSignal | undefined,
 *   failure?: string,
 *   passing?: boolean,
 * }} [options] `failure`: the sentence of the error; default: names the program and its exit code;
 *   `passing`: of the error too.
 * @returns {Promise<string>}
 */
export async function run(command, args, options = {}) {
  throwIfAborted(options.signal);
  const log = openLog(options.logFile, command, args);
  try {
    return await spawnAndWait(command, args, options, log);
  } finally {
    log?.end();
  }
}

/** A log that can't be written is no reason for anything to fail: errors quote the program's last lines. */
function openLog(path, command, args) {
  if (path === undefined) return undefined;
  try {
    makeFolder(dirname(path));
  } catch {
    return undefined;
  }
  const log = createWriteStream(path, { flags: "a" });
  log.on("error", () => {});
  log.write(`$ ${[command, ...args].join(" ")}\n`);
  return log;
}

function spawnAndWait(command, args, options, log) {
  return new Promise((resolve, reject) => {
    // A group of its own, so that an abort reaches what npm and uv start, and Ctrl-C reaches us alone.
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const dismiss = guard(child);
    const tail = [];
    let output = "";
    const takeLine = (line) => {
      if (line.trim() === "") return;
      tail.push(line);
      if (tail.length > tailLinesMax) tail.shift();
      options.onLine?.(line.trim());
    };
    child.stdout.on("data", (chunk) => {
      if (output.length < outputCharsMax) output += chunk;
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk) => log?.write(chunk));
      createInterface({ input: stream }).on("line", takeLine);
    }
    const stop = () => endGroup(child);
    options.signal?.addEventListener("abort", stop, { once: true });
    const fail = (reason, cause) =>
      reject(
        new SetupError(options.failure ?? `${command} ${reason}.`, {
          tail: tail.length === 0 ? [`${command} ${reason}`] : tail,
          logFile: options.logFile,
          passing: options.passing,
          cause,
        }),
      );
    child.once("error", (error) => {
      dismiss();
      options.signal?.removeEventListener("abort", stop);
      fail(
        error.code === "ENOENT" ? "was not found" : `could not be started: ${error.message}`,
        error,
      );
    });
    child.once("close", (code, deathSignal) => {
      dismiss();
      options.signal?.removeEventListener("abort", stop);
      if (options.signal?.aborted) reject(abortError());
      else if (code === 0) resolve(output);
      else fail(deathSignal ? `was ended by ${deathSignal}` : `failed with exit code ${code}`);
    });
  });
}

/**
 * Ends a child's group when we end, however that is: a shell whose input only we hold open. In a group of
 * its own, so that no signal to ours or to the child's reaches it.
 * @returns {() => void} Call it when the child has ended.
 */
function guard(child) {
  if (child.pid === undefined) return () => {};
  const script = 'read -r _; kill -s KILL -- "-$1"';
  const watcher = spawn("sh", ["-c", script, "guard", String(child.pid)], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  // Without one an end by SIGKILL leaves what we had started: no reason to start nothing.
  watcher.once("error", () => {});
  watcher.stdin.once("error", () => {});
  return () => watcher.kill("SIGKILL");
}

/** Ends a child and everything that it has started: politely, then for good. */
function endGroup(child) {
  signalGroup(child, "SIGTERM");
  const timer = setTimeout(() => signalGroup(child, "SIGKILL"), killAfterMs);
  child.once("close", () => clearTimeout(timer));
}

function signalGroup(child, name) {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, name);
  } catch (error) {
    // ESRCH: the group has ended already.
    if (error.code !== "ESRCH") throw error;
  }
}
