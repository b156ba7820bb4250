/** Runs an agent's program in the terminal of this one: where it is, its signals, how it ended. */
import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { constants as system } from "node:os";
import { delimiter, join } from "node:path";
import type { Agent, AgentRun } from "./agents/agent.js";
import { CommandError } from "./failure.js";
import { followParent } from "./parent.js";

/** A shell's exit code for a process that ended by a signal. */
const signalledCode = 128;

/** Its place on the PATH. Throws CommandError that says how it is installed. */
export function programOf({ executable, title, install }: Agent, env = process.env): string {
  const folders = (env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  const program = folders.map((folder) => join(folder, executable)).find(isExecutable);
  if (program !== undefined) return program;
  throw new CommandError(
    `${title} is not installed: there is no "${executable}" on the PATH. Install it with: ${install}`,
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** The exit code of the agent, as a shell would tell it. */
export async function runAgent(
  program: string,
  { args, env }: AgentRun,
  userArgs: readonly string[],
): Promise<number> {
  const child = spawn(program, [...args, ...userArgs], {
    env: { ...process.env, ...env },
    stdio: "inherit",
  });
  const unfollow = passSignals((signal) => child.kill(signal));
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once("error", (cause) => {
        const problem = `${program} can't be started: ${cause.message}.`;
        reject(new CommandError(problem, undefined, { cause }));
      });
      child.once("close", (code, signal) =>
        resolve(signal === null ? code! : signalledCode + system.signals[signal]),
      );
    });
  } finally {
    unfollow();
  }
}

/** The agent decides what a signal ends. Ctrl-C reaches it by the terminal, so it isn't sent a second time. */
function passSignals(send: (signal: NodeJS.Signals) => void): () => void {
  const passed = ["SIGTERM", "SIGHUP"] as const;
  const ignore = () => {};
  process.on("SIGINT", ignore);
  for (const signal of passed) process.on(signal, send);
  const unfollow = followParent(() => send("SIGTERM"));
  return () => {
    unfollow();
    process.off("SIGINT", ignore);
    for (const signal of passed) process.off(signal, send);
  };
}
