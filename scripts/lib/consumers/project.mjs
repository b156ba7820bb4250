/** A consumer project in a folder of its own: made from tests/consumer, with the packed package in it. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { packageRoot } from "../../../setup/paths.mjs";

export const consumersRoot = join(packageRoot, "tests", "consumer");

/** npm tells its scripts about the project that they belong to; a program in another one must not hear of it. */
export const outerEnvironment = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^npm_(package|lifecycle|command|config_local_prefix)|^INIT_CWD$/.test(name),
  ),
);

/**
 * Runs a program to its end.
 * @param {string} folder
 * @param {string[]} command
 * @param {Record<string, string>} [env]
 * @returns {{ status: number | null, stdout: string, output: string }} `output`: both streams, without
 * colours.
 */
export function run(folder, [program, ...args], env = {}) {
  const options = {
    cwd: folder,
    env: { ...outerEnvironment, ...env },
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  };
  const { status, stdout, stderr, error } = spawnSync(program, args, options);
  if (error) throw error;
  return { status, stdout, output: stripVTControlCharacters(`${stdout}${stderr}`) };
}

/** Runs a program that must succeed; returns what it printed. */
export function succeed(folder, command) {
  const { status, stdout, output } = run(folder, command);
  if (status !== 0) throw new Error(`${command.join(" ")} failed (${status}):\n${output}`);
  return stdout;
}

/** Runs a program that must fail and say all of this; white space counts as one blank. */
export function failSaying(folder, command, phrases, env = {}) {
  const { status, output } = run(folder, command, env);
  if (status === 0)
    throw new Error(`${command.join(" ")} succeeded, but should not have:\n${output}`);
  const said = output.replace(/[\s│]+/g, " ");
  const missing = phrases.filter((phrase) => !said.includes(phrase));
  if (missing.length > 0)
    throw new Error(`${command.join(" ")} failed without saying ${missing.join(", ")}:\n${output}`);
}

/**
 * Makes a consumer project and installs the package into it.
 * @param {{ name: string, folder: string, tarball: string, shared?: string }} project `shared`: a
 * folder of tests/consumer whose files become its sources.
 */
export function makeProject({ name, folder, tarball, shared }) {
  cpSync(join(consumersRoot, name), folder, { recursive: true });
  if (shared !== undefined)
    cpSync(join(consumersRoot, shared), join(folder, "src"), { recursive: true });
  const quiet = ["--no-audit", "--no-fund", "--prefer-offline"];
  succeed(folder, ["npm", "install", ...quiet, tarball]);
}

/** A digest of every compiled file of the installed package. */
export function distDigest(folder) {
  const dist = join(folder, "node_modules", "mlx-serving", "dist");
  const hash = createHash("sha256");
  const files = readdirSync(dist, { recursive: true, withFileTypes: true });
  const paths = files.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
  for (const path of paths.sort()) hash.update(path).update(readFileSync(path));
  return hash.digest("hex");
}

/** What a forbidden program says that it expects: the lines `// expect: …` at its top. */
export function expectations(file) {
  const phrases = [...readFileSync(file, "utf8").matchAll(/^\/\/ expect: (.+)$/gm)];
  if (phrases.length === 0) throw new Error(`${file} expects nothing`);
  return phrases.map(([, phrase]) => phrase);
}

/** Programs that must not compile. */
export const forbiddenOf = (name) => {
  const folder = join(consumersRoot, name, "forbidden");
  return readdirSync(folder).map((file) => ({ file, path: join(folder, file) }));
};

/** ReScript: puts a forbidden program beside the others, expects its error, takes it away again. */
export function refuseReScript(folder, { file, path }) {
  const place = join(folder, "src", file);
  cpSync(path, place);
  try {
    failSaying(folder, ["npx", "rescript", "build"], expectations(path));
  } finally {
    rmSync(place);
  }
}
