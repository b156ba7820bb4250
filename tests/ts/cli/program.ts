/** Runs the compiled command line as its users do. */
import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { commandLine } from "../../../setup/clone/node.mjs";
import { environmentFolder, interpreterOf } from "../../../setup/python.mjs";

const ownVariable = /^(MLX_SERVING_|npm_|NO_COLOR|FORCE_COLOR)/;

export interface ProgramOptions {
  cwd: string;
  env?: Record<string, string>;
  /** What is piped in. */
  input?: string;
}

export interface Finished {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

function variables({ cwd, env = {} }: ProgramOptions): Record<string, string | undefined> {
  const inherited = Object.entries(process.env).filter(([name]) => !ownVariable.test(name));
  return {
    ...Object.fromEntries(inherited),
    MLX_SERVING_PYTHON_ENV: environmentFolder(),
    MLX_SERVING_CACHE: join(cwd, "cache"),
    ...env,
  };
}

/** What a terminal shows of a command; `reply`: what is typed once it asks for a yes or a no. */
export async function shownOnTerminal(
  args: readonly string[],
  options: ProgramOptions & { reply?: string },
): Promise<string> {
  const run = "import pty, sys; pty.spawn(sys.argv[1:])";
  const command = ["-c", run, process.execPath, commandLine, ...args];
  const child = execFile(interpreterOf(environmentFolder()), command, {
    cwd: options.cwd,
    env: variables(options),
  });
  let shown = "";
  let replied = false;
  child.stdout!.on("data", (text) => {
    shown += text;
    if (replied || !shown.includes("[y/N]")) return;
    replied = true;
    child.stdin!.end(options.reply);
  });
  await once(child, "close");
  return shown;
}

export class Program {
  readonly child: ChildProcessWithoutNullStreams;
  readonly finished: Promise<Finished>;
  stdout = "";
  stderr = "";

  /** The cache is the folder itself, so that no test sees the user's models. */
  constructor(args: readonly string[], options: ProgramOptions) {
    const { cwd, input = "" } = options;
    this.child = spawn(process.execPath, [commandLine, ...args], { cwd, env: variables(options) });
    this.child.stdin.end(input);
    this.child.stdout.setEncoding("utf8").on("data", (text) => {
      this.stdout += text;
    });
    this.child.stderr.setEncoding("utf8").on("data", (text) => {
      this.stderr += text;
    });
    this.finished = new Promise((resolve) => {
      this.child.once("close", (code, signal) =>
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr }),
      );
    });
  }

  /** The address in the ready line; rejects when the program ends before it. */
  ready(): Promise<string> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const url = /^mlx-serving ready on (\S+)\n/.exec(this.stdout)?.[1];
        if (url !== undefined) resolve(url);
      };
      this.child.stdout.on("data", look);
      look();
      void this.finished.then(({ code, stderr }) => reject(new Error(`exit ${code}: ${stderr}`)));
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}
