/** How a user calls this very program again: who ran it by npx has no `mlx-serving` that npx would find. */
import { existsSync, realpathSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { commandLine, isClone, packageRoot } from "../../setup/paths.mjs";

export interface Surroundings {
  cwd: string;
  env: NodeJS.ProcessEnv;
}

/** For a shell in the same folder: `npx mlx-serving …`, `mlx-serving …`, or Node with our file. */
export function shellCommand(
  subcommand: string,
  { cwd, env }: Surroundings = { cwd: process.cwd(), env: process.env },
): string {
  return `${programFor(cwd, env)} ${subcommand}`;
}

function programFor(cwd: string, env: NodeJS.ProcessEnv): string {
  if (isLocal(cwd)) return "npx mlx-serving";
  if (isOnPath(env)) return "mlx-serving";
  return `${quote(process.execPath)} ${quote(commandLine)}`;
}

/** npx looks into the project that it is called in, which is the nearest folder with a package.json. */
function isLocal(cwd: string): boolean {
  const project = ancestors(cwd).find((folder) =>
    ["package.json", "node_modules"].some((name) => existsSync(join(folder, name))),
  );
  if (project === undefined) return false;
  return (isClone && isSame(project, packageRoot)) || isOurs(join(project, "node_modules", ".bin"));
}

/** While npm runs us, its own folders stand in front of the user's path. */
function isOnPath(env: NodeJS.ProcessEnv): boolean {
  if (env.npm_lifecycle_event !== undefined) return false;
  const folders = (env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  const first = folders.find((folder) => existsSync(join(folder, "mlx-serving")));
  return first !== undefined && isOurs(first);
}

const isOurs = (folder: string) => isSame(join(folder, "mlx-serving"), commandLine);

function isSame(path: string, other: string): boolean {
  if (!existsSync(path) || !existsSync(other)) return false;
  return realpathSync(path) === realpathSync(other);
}

function ancestors(folder: string): string[] {
  const parent = dirname(folder);
  return parent === folder ? [folder] : [folder, ...ancestors(parent)];
}

function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
