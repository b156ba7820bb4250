/** A copy of an example in a folder of its own, with the packages that it depends on: this one and its own. */
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "../../../setup/process.mjs";

const root = fileURLToPath(new URL("../../../", import.meta.url));
export const examples = join(root, "examples");

/** What compilers bring along, or find beside themselves. */
const implied: Readonly<Record<string, readonly string[]>> = {
  rescript: ["@rescript"],
  "react-dom": ["react", "scheduler"],
  "@types/node": ["undici-types"],
};

export interface ExampleProject extends AsyncDisposable {
  readonly folder: string;
  /** Runs one of its programs by Node; what it printed. */
  run(program: string, ...args: string[]): Promise<string>;
}

/** Compiles it, if it has to be, with the compiler that its package names. */
export async function makeExample(name: string): Promise<ExampleProject> {
  const folder = await mkdtemp(join(tmpdir(), `mlx-serving-example-${name}-`));
  await cp(join(examples, name), folder, { recursive: true });
  const { dependencies, devDependencies, scripts } = JSON.parse(
    await readFile(join(folder, "package.json"), "utf8"),
  ) as Record<string, Record<string, string> | undefined>;
  const names = Object.keys({ ...dependencies, ...devDependencies });
  // What brings a whole scope along comes before what is in it.
  for (const one of names.toSorted((a, b) => Number(b in implied) - Number(a in implied)))
    await lend(folder, one, names.includes("rescript"));
  if (scripts?.build !== undefined) await compile(folder, scripts.build.split(" "));
  return {
    folder,
    run: (program, ...rest) => run(process.execPath, [join(folder, program), ...rest]),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

async function compile(folder: string, [program = "", ...args]: string[]): Promise<void> {
  const own = program === "node" ? [] : [await binaryOf(folder, program)];
  await run(process.execPath, [...own, ...args], { cwd: folder });
}

async function lend(folder: string, name: string, forReScript = false): Promise<void> {
  const place = join(folder, "node_modules", name);
  // Its scope may have been lent as a whole.
  if (existsSync(place)) return;
  await mkdir(dirname(place), { recursive: true });
  if (name === "mlx-serving" && forReScript) return copySources(place);
  const source = name === "mlx-serving" ? root : join(root, "node_modules", name);
  await symlink(source, place);
  for (const other of implied[name] ?? []) await lend(folder, other);
}

/** ReScript compiles a package where it is. */
async function copySources(place: string): Promise<void> {
  for (const name of ["package.json", "rescript.json"])
    await cp(join(root, name), join(place, name));
  const isSource = (path: string) => path.endsWith("src-res") || /\.resi?$/.test(path);
  const sources = join(root, "src-res");
  await cp(sources, join(place, "src-res"), { recursive: true, filter: isSource });
  await symlink(join(root, "dist"), join(place, "dist"));
}

/** The file behind a command of a package that the project has. */
async function binaryOf(folder: string, command: string): Promise<string> {
  for (const name of await readdir(join(folder, "node_modules"))) {
    const manifest = join(folder, "node_modules", name, "package.json");
    const { bin } = JSON.parse(await readFile(manifest, "utf8").catch(() => "{}")) as {
      bin?: Record<string, string>;
    };
    if (bin?.[command] !== undefined) return join(dirname(manifest), bin[command]);
  }
  throw new Error(`No package of ${folder} has the command ${command}`);
}
