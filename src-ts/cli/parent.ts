/**
 * Notices that the npm which runs us has ended. npx and `npm run` start `sh -c mlx-serving …` and pass SIGTERM
 * to that shell alone: it dies of it, npm after it, and nobody tells us. An npm that is killed leaves the
 * shell, which goes on waiting for us.
 *
 * Only where npm's own shell is what started us: whoever makes a daemon (`mlx-serving serve &`, nohup, a
 * program that starts us and ends) wants it to go on, and elsewhere a parent may go as it likes.
 */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

const lookEveryMs = 500;
/** The one that inherits from all others; in a container it may be npm itself. */
const firstOfAll = 1;

/** A process, as the system tells of it. */
export interface Told {
  command: string;
  parent: number;
}

export interface Parent {
  env: NodeJS.ProcessEnv;
  /** The process id of the present parent. */
  id(): number;
  /** Of a process that may have ended; undefined where nothing can be told. */
  tell(id: number): Told | undefined;
  /** Whether `tell` costs so little that it may be asked again and again. */
  tellsCheaply: boolean;
}

const ourParent: Parent = {
  env: process.env,
  id: () => process.ppid,
  tell: process.platform === "linux" ? tellByFiles : tellByProgram,
  tellsCheaply: process.platform === "linux",
};
/** Read as early as can be, before anything may have happened to it. */
const firstId = process.ppid;

function tellByFiles(id: number): Told | undefined {
  try {
    const command = readFileSync(`/proc/${id}/cmdline`, "utf8").replaceAll("\0", " ");
    // What stands in parentheses is a name, with whatever is in it.
    const stat = readFileSync(`/proc/${id}/stat`, "utf8").replace(/^.*\)/s, "");
    return { command, parent: Number(stat.trim().split(" ")[1]) };
  } catch {
    return undefined;
  }
}

function tellByProgram(id: number): Told | undefined {
  try {
    const told = execFileSync("ps", ["-o", "ppid=,command=", "-p", String(id)], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    const [, parent, command] = /^\s*(\d+)\s(.*)/.exec(told) ?? [];
    return command === undefined ? undefined : { command, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

/** What npm was told to run, if it was told to run us, and to wait for us. */
export function isRunByNpm(env: NodeJS.ProcessEnv): boolean {
  const script = env.npm_lifecycle_event === undefined ? "" : (env.npm_lifecycle_script ?? "");
  const words = script.replace(/["']/g, "").split(/\s+/);
  const namesUs = words.some((word) => /(^|\/)mlx-serving(@.*)?$/.test(word));
  const letsGo = /(^|[^&>])&(?![&>])|\b(nohup|setsid|disown|daemonize)\b/.test(script);
  return namesUs && !letsGo;
}

/** npm and its like, and the shells that they start with our name in the command. */
const isOfNpm = (command: string) => /npm|npx|yarn|bun|mlx-serving/.test(command);
const isShell = (command: string) => /^\S*sh\s/.test(command);

/** Calls `onGone` once the parent has gone, until the result is called. Keeps no process alive. */
export function followParent(
  onGone: () => void,
  { env, id, tell, tellsCheaply }: Parent = ourParent,
  first = firstId,
): () => void {
  if (!isRunByNpm(env)) return () => {};
  const told = tell(first);
  // Gone before we could look: the first process has us now, unless it is npm itself.
  const isInherited = first === firstOfAll && told !== undefined && !isOfNpm(told.command);
  if (first === firstOfAll && !isInherited) return () => {};
  const isShells = told !== undefined && isShell(told.command) && tellsCheaply;
  const timer = setInterval(() => {
    const stays = !isInherited && id() === first;
    if (stays && !(isShells && tell(first)?.parent !== told.parent)) return;
    clearInterval(timer);
    onGone();
  }, lookEveryMs);
  timer.unref();
  return () => clearInterval(timer);
}
