/** Servers of others: started on a port of their own, waited for, ended. */
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { strangeVariables } from "../../lib/gate/server.mjs";
import { freePort, signalGroup } from "../../lib/processes.mjs";

const readyMsMax = 180_000;
const pollMs = 50;
const stopMsMax = 10_000;
const tailCharsMax = 2_000;

/** A server can't take part; the message says why, in one line. */
export class Unavailable extends Error {
  name = "Unavailable";
}

/**
 * @param {{ command: string, args: (port: number) => string[], env?: Record<string, string>, health: string, signal: AbortSignal, readyMs?: number }} options
 *   `health`: a path that answers 200 once it serves.
 * @returns {Promise<{ url: string, pid: number, stop: () => Promise<void> }>} Rejects with Unavailable.
 */
export async function startProcess({
  command,
  args,
  env = {},
  health,
  signal,
  readyMs = readyMsMax,
}) {
  signal.throwIfAborted();
  const port = await freePort();
  const environment = { ...process.env, ...env };
  for (const name of strangeVariables) delete environment[name];
  // A group of its own: what it starts ends with it, and Ctrl-C reaches us alone.
  const child = spawn(command, args(port), {
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let tail = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk) => {
      tail = (tail + chunk).slice(-tailCharsMax);
    });
  const ended = endOf(child);
  let isOver = false;
  const kill = () => signalGroup(child.pid, "SIGKILL");
  signal.addEventListener("abort", kill);
  const stop = async () => {
    signal.removeEventListener("abort", kill);
    signalGroup(child.pid, "SIGTERM");
    const timer = setTimeout(kill, stopMsMax);
    await ended;
    clearTimeout(timer);
  };
  const url = `http://127.0.0.1:${port}`;
  try {
    const died = ended.then((how) => {
      isOver = true;
      throw new Unavailable(`it ended before it was ready: ${how}${lastLineOf(tail)}`);
    });
    await Promise.race([
      died,
      untilReady(`${url}${health}`, readyMs, () => isOver || signal.aborted),
    ]);
    signal.throwIfAborted();
    // Its end later is the business of whoever asks it.
    died.catch(() => {});
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, pid: child.pid, stop };
}

/** Resolves with how it ended, or why it never was. */
function endOf(child) {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    // Not at its exit: what it said last may still be on its way.
    child.once("close", (code, name) => resolve(name ?? `exit code ${code}`));
  });
}

const lastLineOf = (tail) => {
  const line = tail.trim().split("\n").at(-1);
  return line ? ` (${line.slice(0, 200)})` : "";
};

/** Comes back without an answer once it is over: whoever knows why says so. */
async function untilReady(address, readyMs, isOver) {
  const until = performance.now() + readyMs;
  while (performance.now() < until) {
    if (isOver() || (await answers(address))) return;
    await sleep(pollMs);
  }
  throw new Unavailable(`it was not ready after ${readyMs / 1000} s`);
}

/** True when something answers 200 there. */
export async function answers(address) {
  try {
    const answer = await fetch(address, { signal: AbortSignal.timeout(1_000) });
    await answer.arrayBuffer();
    return answer.status === 200;
  } catch {
    return false;
  }
}
