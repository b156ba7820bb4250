/** The servers of the gate: the real program, started as a user starts it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { commandLine } from "../../../setup/clone/node.mjs";
import { SetupError } from "../../../setup/process.mjs";

const tailCharsMax = 2000;
const readyLine = /^mlx-serving ready on (http:\/\/\S+)\n/;
// They are for multithreaded programs of others, and slow ours down.
export const strangeVariables = ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"];

/**
 * @param {{ flags: readonly string[], env: Record<string, string>, signal: AbortSignal, node?: string }} options
 *   `node`: the program that runs it.
 * @returns {Promise<{ url: string, pid: number, parts: () => Promise<Record<string, { on: boolean, reason: string | null }>>, stop: () => Promise<void> }>}
 */
export async function startServer({ flags, env, signal, node = process.execPath }) {
  signal.throwIfAborted();
  const environment = { ...process.env, ...env };
  for (const name of strangeVariables) delete environment[name];
  const child = spawn(node, [commandLine, "serve", "--port", "0", ...flags], {
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const exited = once(child, "exit");
  const kill = () => child.kill("SIGKILL");
  signal.addEventListener("abort", kill);
  const stop = async () => {
    signal.removeEventListener("abort", kill);
    child.kill("SIGTERM");
    await exited;
  };
  const url = await readyUrl(child, exited);
  const parts = async () => {
    const answer = await fetch(`${url}/admin/workers`);
    const [worker] = await answer.json();
    return worker?.native?.parts ?? {};
  };
  return { url, pid: child.pid, parts, stop };
}

async function readyUrl(child, exited) {
  let stdout = "";
  let tail = "";
  child.stderr.on("data", (chunk) => {
    tail = (tail + chunk).slice(-tailCharsMax);
  });
  const ready = new Promise((resolve) => {
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
      const url = readyLine.exec(stdout)?.[1];
      if (url !== undefined) resolve(url);
    });
  });
  const died = exited.then(() => {
    throw new SetupError("The server ended before it was ready.", { tail: tail.split("\n") });
  });
  return Promise.race([ready, died]);
}
