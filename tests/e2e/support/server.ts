/** The real program as a user starts it: `node dist/cli/main.js serve …`, and its end. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { endWithUs, signalGroup } from "../../../scripts/lib/processes.mjs";
import { nativeEnvironment } from "./native.js";

const program = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));
const readyLine = /^mlx-serving ready on (http:\/\/\S+)\n$/;

/** What `GET /admin/workers` says of one, as far as tests look at it. */
export interface Worker {
  id: string;
  state: string;
  epoch: number;
  pid: number | undefined;
  restarts: number;
  running: number;
  prefilling: number;
  decoding: number;
  cancelling: number;
  queued: number;
  preparing: number;
  storing: number;
  limits?: { kvBudgetBytes: number; weightsBytes: number };
  telemetry?: Record<string, unknown>;
  native: {
    parts: Record<string, { on: boolean; reason: string | null; applicable: boolean }>;
    metrics: { completedRequests: number } | null;
  } | null;
}

export interface ServerOptions {
  /** Flags after `serve --port 0`. */
  flags?: string[];
  env?: Record<string, string>;
  /** A command of the shell that the server's process runs first, such as a `ulimit`. */
  before?: string;
  /** One of the keys that the flags give it. */
  apiKey?: string;
}

export interface ServerProcess extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  workers(): Promise<Worker[]>;
  /** The first worker. */
  worker(): Promise<Worker>;
  /** Waits until the first worker looks so; the error says how it looked last. */
  until(looks: (worker: Worker) => boolean): Promise<Worker>;
  signal(name: NodeJS.Signals): void;
  /** Resolves with what the process ended with. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  stdout(): string;
  stderr(): string;
}

/** The embedded model decodes it for longer than a client lags behind: a kill after few deltas falls within it. */
export const longAnswer = { input: "Tell me a long story.", max_output_tokens: 96 };

/** Resolves when the ready line is there; rejects with the log when the process ends before it. */
export async function startServer({ flags = [], env = {}, before, apiKey }: ServerOptions = {}) {
  const [command, ...args] = commandLine(before);
  const child = spawn(command!, [...args, "serve", "--port", "0", ...flags], {
    env: { ...ownEnvironment(), ...nativeEnvironment(), ...env },
    stdio: ["ignore", "pipe", "pipe"],
    // A group of its own, so that nothing of it can outlive the test.
    detached: true,
  });
  const release = endWithUs(child.pid);
  const output = { stdout: "", stderr: "" };
  const exited = once(child, "exit").then(([code, signal]) => ({ code, signal }));
  child.stderr.on("data", (chunk) => {
    output.stderr += chunk;
  });
  const ready = new Promise<string>((resolve) => {
    child.stdout.on("data", (chunk) => {
      output.stdout += chunk;
      const url = readyLine.exec(output.stdout)?.[1];
      if (url !== undefined) resolve(url);
    });
  });
  const dead = exited.then(({ code, signal }) => {
    throw new Error(
      `The server ended with ${code ?? signal} before it was ready:\n${output.stderr}`,
    );
  });
  try {
    const url = await Promise.race([ready, dead]);
    return describe(child, url, { output, exited, apiKey, release });
  } catch (error) {
    signalGroup(child.pid, "SIGKILL");
    release();
    throw error;
  }
}

/** The shell becomes the server: its pid is the server's. */
function commandLine(before: string | undefined): string[] {
  const server = [process.execPath, program];
  return before === undefined ? server : ["sh", "-c", `${before}; exec "$@"`, "sh", ...server];
}

/** Without what only programs see that npm starts: they take a repeated signal for npm's echo. */
function ownEnvironment(): NodeJS.ProcessEnv {
  const { npm_lifecycle_event: _, ...environment } = process.env;
  return environment;
}

interface Started {
  output: { stdout: string; stderr: string };
  exited: ServerProcess["exited"];
  apiKey: string | undefined;
  release: () => void;
}

function describe(
  child: ChildProcess,
  url: string,
  { output, exited, apiKey, release }: Started,
): ServerProcess {
  const headers = authorization(apiKey);
  const workers = async () => {
    const answer = await fetch(`${url}/admin/workers`, { headers });
    if (!answer.ok) throw new Error(`/admin/workers answered ${answer.status}`);
    return (await answer.json()) as Worker[];
  };
  const worker = async () => {
    const [first] = await workers();
    if (first === undefined) throw new Error("There is no worker.");
    return first;
  };
  return {
    url,
    pid: child.pid!,
    workers,
    worker,
    until: (looks) => pollWorker(worker, looks),
    signal: (name) => process.kill(child.pid!, name),
    exited,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    async [Symbol.asyncDispose]() {
      signalGroup(child.pid, "SIGKILL");
      release();
      await exited;
    },
  };
}

export function authorization(apiKey: string | undefined): Record<string, string> {
  return apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
}

/** Long enough for the slowest machine; a test that waits so long has failed. */
const pollTimeoutMs = 30_000;
const pollPeriodMs = 5;

async function pollWorker(
  look: () => Promise<Worker>,
  looks: (worker: Worker) => boolean,
): Promise<Worker> {
  const deadline = performance.now() + pollTimeoutMs;
  for (;;) {
    const worker = await look();
    if (looks(worker)) return worker;
    if (performance.now() > deadline) {
      throw new Error(`The worker never looked as expected: ${JSON.stringify(worker)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, pollPeriodMs));
  }
}

/** False too for a process that has ended and that nobody has asked for its exit code yet. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const status = `/proc/${pid}/status`;
  return !existsSync(status) || !/^State:\s+Z/m.test(readFileSync(status, "utf8"));
}

/** Everything that a worker does for requests, and nothing else of it. */
export function isIdle(worker: Worker) {
  const { running, prefilling, decoding, cancelling, queued, preparing, storing } = worker;
  return running + prefilling + decoding + cancelling + queued + preparing + storing === 0;
}
