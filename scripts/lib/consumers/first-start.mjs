/** The first minutes of whoever runs the packed package by npx: an empty folder, an empty cache, no compiler. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { embeddedModelFolder, isEmbeddedModelReady } from "../../../setup/model.mjs";
import { modelsFolder } from "../../../setup/paths.mjs";
import { outerEnvironment } from "./project.mjs";

const readyMsMax = 240_000;
const endMsMax = 60_000;

/**
 * Starts a server by npx and ends it by SIGTERM to npx, which must end it all.
 * @param {{ folder: string, tarball: string, flags?: string[], env?: Record<string, string> }} options
 * @returns {Promise<string>} What it said on stderr.
 */
export async function serveByNpx({ folder, tarball, flags = [], env = {} }) {
  mkdirSync(folder, { recursive: true });
  const npx = ["--yes", "--prefer-offline", `--package=${tarball}`, "mlx-serving", "serve"];
  const child = spawn("npx", [...npx, "--port", "0", ...flags], {
    cwd: folder,
    env: { ...outerEnvironment, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  // The pipes end with the last process that has them: the server and its workers.
  const ended = new Promise((resolve) => child.once("close", resolve));
  const ready = async () => {
    while (!stdout.includes("mlx-serving ready on ")) {
      if (child.exitCode !== null) throw new Error(`npx ended before:\n${stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  try {
    await within(readyMsMax, ready(), () => `no server after ${readyMsMax} ms:\n${stderr}`);
  } finally {
    // Also where it did not come: what goes on would write into folders that are removed.
    child.kill("SIGTERM");
    await within(endMsMax, ended, () => `the server goes on after the end of npx:\n${stderr}`);
  }
  return stderr;
}

async function within(ms, work, failure) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(failure())), ms);
  });
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/**
 * A PATH on which there is everything but a C++ compiler.
 * @param {string} folder Gets links to the programs.
 * @returns {string}
 */
export function pathWithoutCompiler(folder) {
  mkdirSync(folder, { recursive: true });
  const compiler = /^(c\+\+|g\+\+|clang\+\+)(-|$)/;
  for (const from of (outerEnvironment.PATH ?? "").split(":").filter((path) => existsSync(path)))
    for (const name of readdirSync(from).filter((program) => !compiler.test(program)))
      if (!existsSync(join(folder, name))) link(join(from, name), join(folder, name));
  return folder;
}

function link(from, to) {
  try {
    symlinkSync(from, to);
  } catch (error) {
    // A link that leads nowhere stands there already.
    if (error.code !== "EEXIST") throw error;
  }
}

/**
 * Puts the model that is fetched already into an empty cache. False if there is none.
 * @param {string} cache
 * @returns {boolean}
 */
export function lendModel(cache) {
  if (!isEmbeddedModelReady()) return false;
  const env = { MLX_SERVING_CACHE: cache };
  mkdirSync(modelsFolder(env), { recursive: true });
  symlinkSync(embeddedModelFolder(), embeddedModelFolder(env));
  return true;
}
