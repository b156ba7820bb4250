/** A `llama-server` of a pinned version, compiled once into the user's cache. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { acquireLock } from "../../../setup/lock.mjs";
import { checkCompiler, ensureCmake } from "../../../setup/native/tools.mjs";
import { cacheFolder } from "../../../setup/paths.mjs";
import { run } from "../../../setup/process.mjs";
import { findPython } from "../../../setup/python.mjs";

const pin = join(import.meta.dirname, "pins.txt");
const [, name, version] = /^([\w-]+)==(\S+)/m.exec(readFileSync(pin, "utf8"));
/** What it is built from, for the report. */
export const llamaSource = `llama.cpp of ${name} ${version}`;
const inPackage = "vendor/llama.cpp";
/** The server alone, in one file, without its page and without TLS; for this processor. */
const settings = [
  "CMAKE_BUILD_TYPE=Release",
  "BUILD_SHARED_LIBS=OFF",
  "LLAMA_BUILD_TESTS=OFF",
  "LLAMA_BUILD_EXAMPLES=OFF",
  "LLAMA_BUILD_UI=OFF",
  "LLAMA_USE_PREBUILT_UI=OFF",
  "LLAMA_OPENSSL=OFF",
];
/**
 * llama.cpp asks for AMX on its main thread alone, and dies at its first product where a kernel gives it to single
 * threads (https://github.com/ggml-org/llama.cpp/issues/20824): without, it goes on with AVX-512.
 */
const withoutAmx = ["-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16"].join(" ");

function hasAmx() {
  try {
    return readFileSync("/proc/cpuinfo", "utf8").includes("amx_tile");
  } catch {
    return false;
  }
}

/**
 * The program's path. Minutes at the first time; what was interrupted goes on.
 * @param {{ signal: AbortSignal, detail?: (text: string) => void }} options
 * @returns {Promise<string>}
 */
export async function ensureLlamaServer(options) {
  const home = join(cacheFolder(), "peers", `${name}-${version}`);
  const program = join(home, "bin", "llama-server");
  if (existsSync(program)) return program;
  mkdirSync(home, { recursive: true });
  const release = await acquireLock(join(home, "lock"), options);
  try {
    if (!existsSync(program)) await build(home, program, options);
    return program;
  } finally {
    release();
  }
}

async function build(home, program, options) {
  await checkCompiler(options);
  const python = (await findPython(options)).path;
  const { cmake, configureArgs } = await ensureCmake(python, options);
  const logFile = join(home, "build.log");
  const source = join(home, "source");
  if (!existsSync(source)) await fetchSource(home, source, python, { ...options, logFile });
  const folder = join(home, "build");
  const flags = hasAmx() ? [`CMAKE_C_FLAGS=${withoutAmx}`, `CMAKE_CXX_FLAGS=${withoutAmx}`] : [];
  const defines = [...settings, ...flags].map((setting) => `-D${setting}`);
  await run(cmake, ["-S", source, "-B", folder, ...configureArgs, ...defines], {
    ...options,
    logFile,
  });
  const jobs = String(availableParallelism());
  const onLine = (line) => {
    if (/^\[/.test(line)) options.detail?.(line.slice(0, 60));
  };
  await run(cmake, ["--build", folder, "--target", "llama-server", "--parallel", jobs], {
    ...options,
    logFile,
    onLine,
    failure: "llama-server could not be built",
  });
  mkdirSync(join(home, "bin"), { recursive: true });
  renameSync(join(folder, "bin", "llama-server"), program);
  for (const left of [folder, source]) rmSync(left, { recursive: true, force: true });
}

/** pip asks a source package for its dependencies and builds nothing; it checks the hash. */
async function fetchSource(home, source, python, options) {
  const draft = join(home, "draft");
  rmSync(draft, { recursive: true, force: true });
  options.detail?.("downloading 77 MB");
  const exactly = ["--no-deps", "--no-binary", name, "--require-hashes", "--requirement", pin];
  await run(python, ["-m", "pip", "download", ...exactly, "--dest", draft], {
    ...options,
    failure: `the sources of llama.cpp (${name} ${version}) could not be downloaded`,
  });
  const archive = readdirSync(draft).find((file) => file.endsWith(".tar.gz"));
  const root = archive.slice(0, -".tar.gz".length);
  await run("tar", ["-xzf", archive, `${root}/${inPackage}`], { ...options, cwd: draft });
  renameSync(join(draft, root, inPackage), source);
  rmSync(draft, { recursive: true, force: true });
}
