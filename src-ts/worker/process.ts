/**
 * Worker processes: spawns them with the link on fd 3, reads frames, passes on their log lines and
 * sees them die. Owns one process at a time per handle; decides nothing about restarts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import { createInterface } from "node:readline";
import { encodeFrame, FrameDecoder, LinkViolation } from "./link.js";
import type { ToWorker } from "./messages.js";
import type { WorkerEvents, WorkerPort, WorkerProcess, WorkerSpec } from "./port.js";

/** How to start a worker's Python. */
export interface PythonCommand {
  /** The interpreter. */
  python: string;
  /** The folder that holds the package `mlx_serving`. */
  packageDir: string;
  /** Set over what is inherited; undefined takes a variable away. */
  env?: Record<string, string | undefined>;
}

/** Python's path: our modules, and none of the folder that somebody happens to be in. */
function ownModules(packageDir: string) {
  return { PYTHONPATH: packageDir, PYTHONSAFEPATH: "1" };
}

export interface WorkerProcessOptions {
  /** Called once per process, so that an environment can be made when a worker first needs it. */
  command(spec: WorkerSpec): PythonCommand | Promise<PythonCommand>;
  /** A line that the worker wrote to stdout or stderr. */
  onOutput?(workerId: string, line: string): void;
}

/** After the exit, how long what is still in the link may take to arrive. */
const linkFlushMs = 250;
/** Lines of output that an exit's message may quote. */
const quotedLinesMax = 8;

export function workerProcesses(options: WorkerProcessOptions): WorkerPort {
  return { spawn: (spec, events) => new PythonWorker(spec, events, options) };
}

class PythonWorker implements WorkerProcess {
  private child: ChildProcess | undefined;
  private link: Socket | undefined;
  private killed: "SIGTERM" | "SIGKILL" | undefined;
  private readonly lastLines: string[] = [];
  private exited = false;

  constructor(
    private readonly spec: WorkerSpec,
    private readonly events: WorkerEvents,
    private readonly options: WorkerProcessOptions,
  ) {
    // Never in the caller's own turn: a failure is an exit that comes later.
    Promise.resolve()
      .then(() => options.command(spec))
      .then((command) => this.launch(command))
      .catch((error: Error) => this.reportExit(-1, "", error.message));
  }

  send(message: ToWorker): void {
    if (this.link?.writable) this.link.write(encodeFrame(message, this.spec.epoch));
  }

  kill(signal: "SIGTERM" | "SIGKILL"): void {
    this.killed = signal;
    this.child?.kill(signal);
  }

  private launch(command: PythonCommand): void {
    if (this.killed !== undefined) return this.reportExit(-1, this.killed, "");
    const { engine, epoch } = this.spec;
    const args = ["-u", "-m", "mlx_serving", "--engine", engine, "--epoch", String(epoch)];
    const child = spawn(command.python, args, {
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      env: { ...process.env, ...ownModules(command.packageDir), ...command.env },
    });
    this.child = child;
    child.once("error", (error) => {
      if (child.pid === undefined) this.reportExit(-1, "", error.message);
    });
    if (child.pid === undefined) return;
    for (const stream of [child.stdout, child.stderr])
      createInterface({ input: stream! }).on("line", (line) => this.output(line));
    this.attach(child.stdio[3] as Socket, child);
    this.events.spawned(child.pid);
  }

  private attach(link: Socket, child: ChildProcess): void {
    this.link = link;
    const decoder = new FrameDecoder(this.spec.epoch, (message) => this.events.message(message));
    const flushed = new Promise<void>((resolve) => link.once("close", () => resolve()));
    link.on("data", (chunk: Buffer) => {
      const staleBefore = decoder.stale;
      try {
        decoder.push(chunk);
      } catch (error) {
        if (!(error instanceof LinkViolation)) throw error;
        link.removeAllListeners("data");
        link.resume();
        this.events.violated(error.message);
      }
      if (decoder.stale > staleBefore) this.events.stale(decoder.stale - staleBefore);
    });
    // Reset by a dying peer; its exit says the rest.
    link.on("error", () => link.destroy());
    link.once("end", () => {
      if (!this.exited) this.events.closed();
      link.end();
    });
    child.once("exit", (code, signal) => {
      const late = new Promise<void>((resolve) => setTimeout(resolve, linkFlushMs).unref());
      void Promise.race([flushed, late]).then(() => {
        link.destroy();
        // Who was killed did not say why: its last lines are about something else.
        const output = signal === null ? this.lastLines.join("\n") : "";
        this.reportExit(code ?? 0, signal ?? "", output);
      });
    });
  }

  private output(line: string): void {
    this.lastLines.push(line);
    if (this.lastLines.length > quotedLinesMax) this.lastLines.shift();
    this.options.onOutput?.(this.spec.workerId, line);
  }

  private reportExit(code: number, signal: string, message: string): void {
    if (this.exited) return;
    this.exited = true;
    this.events.exited(code, signal, message);
  }
}
