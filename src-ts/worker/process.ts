/**
 * Worker processes: starts them with their link on fd 3, passes on their log lines and sees them die. Owns one
 * process per launch; decides nothing about restarts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import { createInterface } from "node:readline";
import type {
  LaunchedProcess,
  Launcher,
  LaunchSpec,
  Link,
  LinkEvents,
  ProcessEvents,
} from "./launcher.js";
import type { ToWorker } from "./messages.js";
import { StreamLink } from "./stream-link.js";

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
  command(spec: LaunchSpec): PythonCommand | Promise<PythonCommand>;
  /** A line that the worker wrote to stdout or stderr. */
  onOutput?(workerId: string, line: string): void;
}

/** After the exit, how long what is still in the link may take to arrive. */
const linkFlushMs = 250;
/** Lines of output that an exit's message may quote. */
const quotedLinesMax = 8;

export function pythonLauncher(options: WorkerProcessOptions): Launcher {
  return {
    launch: (spec, process, link) => {
      const worker = new PythonProcess(spec, process, link, options);
      return { process: worker, link: worker };
    },
  };
}

/** Its link is there once it has been started: what is sent before is dropped. */
class PythonProcess implements LaunchedProcess, Link {
  private child: ChildProcess | undefined;
  private link: StreamLink | undefined;
  private killed: "SIGTERM" | "SIGKILL" | undefined;
  private readonly lastLines: string[] = [];
  private exited = false;

  constructor(
    private readonly spec: LaunchSpec,
    private readonly events: ProcessEvents,
    private readonly linkEvents: LinkEvents,
    private readonly options: WorkerProcessOptions,
  ) {
    // Never in the caller's own turn: a failure is an exit that comes later.
    Promise.resolve()
      .then(() => options.command(spec))
      .then((command) => this.launch(command))
      .catch((error: Error) => this.reportExit(-1, "", error.message));
  }

  send(message: ToWorker): void {
    this.link?.send(message);
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
    const link = new StreamLink(child.stdio[3] as Socket, epoch, {
      ...this.linkEvents,
      closed: () => {
        if (!this.exited) this.linkEvents.closed();
      },
    });
    this.link = link;
    child.once("exit", (code, signal) => this.end(link, code ?? 0, signal));
    this.events.spawned(child.pid);
  }

  private end(link: StreamLink, code: number, signal: NodeJS.Signals | null): void {
    const late = new Promise<void>((resolve) => setTimeout(resolve, linkFlushMs).unref());
    void Promise.race([link.flushed, late]).then(() => {
      link.destroy();
      // A process that was killed did not say why: its last lines are about something else.
      const output = signal === null ? this.lastLines.join("\n") : "";
      this.reportExit(code, signal ?? "", output);
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
