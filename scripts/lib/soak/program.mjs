/**
 * The program under test: started as a user starts it, always on the same port and data folder, killed
 * and started again. Owns its process and its log; knows no request.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { commandLine } from "../../../setup/clone/node.mjs";

const readyLine = /mlx-serving ready on (http:\/\/\S+)\n/;
const startMsMax = 120_000;
const exitMsMax = 30_000;
const tailCharsMax = 4_000;
// They are for multithreaded programs of others, and slow ours down.
const strangeVariables = ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "npm_lifecycle_event"];

export class Program {
  /** When the present process was ready, of `performance.now()`. */
  readyAt = 0;
  starts = 0;
  tail = "";
  #child;
  #exited;
  #ordered = true;
  #log;

  /**
   * @param {{ flags: string[], port: number, logFile: string, onDeath: (how: string) => void }} options
   * `onDeath`: it ended without an order.
   */
  constructor({ flags, port, logFile, onDeath }) {
    this.flags = [...flags, "--port", String(port)];
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.onDeath = onDeath;
    this.#log = createWriteStream(logFile);
    // However the soak ends, nothing of it remains.
    process.once("exit", () => this.#killGroup());
  }

  get pid() {
    return this.#child?.pid;
  }

  /** Resolves when it is ready. */
  async start() {
    this.starts += 1;
    const environment = { ...process.env };
    for (const name of strangeVariables) delete environment[name];
    const child = spawn(process.execPath, [commandLine, "serve", ...this.flags], {
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    this.#child = child;
    this.#ordered = false;
    this.#exited = once(child, "exit").then(([code, signal]) => this.#ended(code, signal));
    child.stderr.on("data", (chunk) => this.#write(chunk));
    await Promise.race([this.#ready(child), this.#exited.then((how) => this.#refuse(how))]);
    this.readyAt = performance.now();
  }

  /** SIGKILL. */
  async kill() {
    this.#ordered = true;
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  /** SIGTERM, and its orderly end; resolves with how it ended. */
  async terminate() {
    this.#ordered = true;
    this.#child.kill("SIGTERM");
    const late = sleep(exitMsMax, `still there ${exitMsMax} ms after SIGTERM`, { ref: false });
    const how = await Promise.race([this.#exited, late]);
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.kill();
    return how;
  }

  /** Nothing of it remains. */
  async end() {
    this.#ordered = true;
    this.#killGroup();
    await this.#exited;
    this.#log.end();
  }

  /** `GET /admin/workers`; none while it is down. */
  async workers() {
    try {
      const answer = await fetch(`${this.url}/admin/workers`, {
        signal: AbortSignal.timeout(5_000),
      });
      return answer.ok ? await answer.json() : [];
    } catch {
      return [];
    }
  }

  #killGroup() {
    if (this.#child === undefined) return;
    try {
      process.kill(-this.#child.pid, "SIGKILL");
    } catch (error) {
      if (error.code !== "ESRCH") throw error;
    }
  }

  #ready(child) {
    let stdout = "";
    const ready = new Promise((resolve) => {
      child.stdout.on("data", (chunk) => {
        stdout += chunk;
        if (readyLine.test(stdout)) resolve();
      });
    });
    const late = sleep(startMsMax, undefined, { ref: false }).then(() => {
      if (!readyLine.test(stdout)) this.#refuse(`was not ready after ${startMsMax} ms`);
    });
    return Promise.race([ready, late]);
  }

  #refuse(how) {
    throw new Error(`The server ${how} before it was ready:\n${this.tail}`);
  }

  #ended(code, signal) {
    const how = `ended with ${signal ?? code}`;
    if (!this.#ordered) this.onDeath(how);
    return how;
  }

  #write(chunk) {
    this.tail = (this.tail + chunk).slice(-tailCharsMax);
    this.#log.write(chunk);
  }
}
