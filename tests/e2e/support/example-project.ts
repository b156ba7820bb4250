/** A copy of an example in a folder of its own, with the packages that it depends on: this one and its own. */
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
  "@types/node": ["undici-types"],
};

export interface ExampleProject extends AsyncDisposable {
  readonly folder: string;
  /** Runs one of its programs by Node; what it printed. */
  run(program: string, ...args: string[]): Promise<string>;
}

/** Compiles it with the compiler that its package names. */
export async function compileExample(name: string): Promise<ExampleProject> {
  const folder = await mkdtemp(join(tmpdir(), `mlx-serving-example-${name}-`));
  await cp(join(examples, name), folder, { recursive: true });
  const { dependencies, devDependencies, scripts } = JSON.parse(
    await readFile(join(folder, "package.json"), "utf8"),
  ) as Record<string, Record<string, string>>;
  for (const one of Object.keys({ ...dependencies, ...devDependencies })) await lend(folder, one);
  const [compiler, ...args] = scripts!.build!.split(" ");
  await run(process.execPath, [await binaryOf(folder, compiler!), ...args], { cwd: folder });
  return {
    folder,
    run: (program, ...rest) => run(process.execPath, [join(folder, program), ...rest]),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

async function lend(folder: string, name: string): Promise<void> {
  const place = join(folder, "node_modules", name);
  await mkdir(dirname(place), { recursive: true });
  const source = name === "mlx-serving" ? root : join(root, "node_modules", name);
  await symlink(source, place);
  for (const other of implied[name] ?? []) await lend(folder, other);
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
