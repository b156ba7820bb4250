/**
 * Which models there are on this machine, by id: the embedded one, folders and hub models that
 * `mlx-serving models add` registered, and whatever folder or hub id a command names.
 */
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { makeFolder } from "../../setup/folders.mjs";
import {
  embeddedModelFolder,
  embeddedModelId,
  ensureEmbeddedModel,
  isEmbeddedModelReady,
} from "../../setup/model.mjs";
import { cacheFolder } from "../../setup/paths.mjs";
import { ConfigError } from "../config.js";
import { didYouMean } from "../nearest.js";
import type { ModelSource } from "../worker/messages.js";
import { readGguf } from "./gguf.js";
import { type EnvironmentOptions, toolOptions } from "./python.js";

export { embeddedModelFolder, embeddedModelId, isEmbeddedModelReady };

const Registry = z.strictObject({
  models: z.array(
    z.strictObject({
      id: z.string().min(1),
      kind: z.enum(["folder", "hub"]),
      path: z.string().min(1),
    }),
  ),
});
/** `hub`: downloaded by us into the model cache, so that removing it deletes the files. */
export type RegisteredModel = z.infer<typeof Registry>["models"][number];

const registryFile = (env: NodeJS.ProcessEnv) => join(cacheFolder(env), "models.json");

/** Registered models, in the order in which they were added. Throws ConfigError if the file is damaged. */
export function registeredModels(env: NodeJS.ProcessEnv = process.env): RegisteredModel[] {
  const path = registryFile(env);
  if (!existsSync(path)) return [];
  try {
    return Registry.parse(JSON.parse(readFileSync(path, "utf8"))).models;
  } catch (error) {
    throw new ConfigError(
      `The list of models ${path} is damaged; remove it and add the models again.`,
      {
        cause: error,
      },
    );
  }
}

/** Adds a model, or replaces the one with its id. */
export function registerModel(model: RegisteredModel, env: NodeJS.ProcessEnv = process.env): void {
  writeRegistry([...registeredModels(env).filter(({ id }) => id !== model.id), model], env);
}

/** Forgets a model; false if there is none with this id. Its files stay. */
export function unregisterModel(id: string, env: NodeJS.ProcessEnv = process.env): boolean {
  const models = registeredModels(env);
  const rest = models.filter((model) => model.id !== id);
  if (rest.length === models.length) return false;
  writeRegistry(rest, env);
  return true;
}

function writeRegistry(models: RegisteredModel[], env: NodeJS.ProcessEnv): void {
  const path = registryFile(env);
  makeFolder(dirname(path));
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify({ models }, undefined, 2)}\n`);
  renameSync(draft, path);
}

/**
 * What `--model` names, in the order given. Throws ConfigError for what is on no list, in no folder and
 * no hub id, for folders that lack a part, and for two models of one id.
 */
export function resolveModels(
  names: readonly string[],
  engine: "mlx" | "fake",
  env: NodeJS.ProcessEnv = process.env,
): ModelSource[] {
  const models = names.map((name): ModelSource => {
    if (engine === "fake") return { id: fakeId(name, env), kind: "fake", path: "" };
    return resolveModel(name, env);
  });
  for (const [index, { id }] of models.entries()) {
    if (models.findIndex((other) => other.id === id) === index) continue;
    throw new ConfigError(
      `Two models are called ${id}; rename one folder, or add it under another id.`,
    );
  }
  return models;
}

/** What the same name is called where it is loaded. */
function fakeId(name: string, env: NodeJS.ProcessEnv): string {
  const isKnown = name === embeddedModelId || registeredModels(env).some(({ id }) => id === name);
  return isKnown || !existsSync(name) ? name : folderId(resolve(name));
}

/** A model of a folder or a file is called as it is. */
function folderId(path: string): string {
  return basename(path);
}

function resolveModel(name: string, env: NodeJS.ProcessEnv): ModelSource {
  if (name === embeddedModelId) {
    return { id: name, kind: "embedded", path: embeddedModelFolder(env) };
  }
  const registered = registeredModels(env);
  const known = registered.find(({ id }) => id === name);
  if (known !== undefined) {
    checkModelFolder(known.path);
    return { id: name, kind: "folder", path: known.path };
  }
  if (existsSync(name)) {
    const path = resolve(name);
    checkModelFolder(path);
    return { id: folderId(path), kind: "folder", path };
  }
  if (name.endsWith(ggufEnding)) throw new ConfigError(`There is no file ${resolve(name)}.`);
  if (isHubId(name)) return { id: name, kind: "hub", path: name };
  const ids = [embeddedModelId, ...registered.map(({ id }) => id)];
  throw new ConfigError(
    `The model ${name} was not found: it is no folder, no hub id (owner/name) and not one of ${ids.join(", ")}.${didYouMean(name, ids)}`,
  );
}

/** `owner/name`, as model hubs have it. */
export function isHubId(name: string): boolean {
  return /^[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95}$/.test(name);
}

const tokenizerFiles = [
  "tokenizer.json",
  "tokenizer.model",
  "tiktoken.model",
  "vocab.json",
  "vocab.txt",
  "spiece.model",
];

/**
 * Throws ConfigError, which names what is missing, unless all parts of a model are there. A worker looks
 * closer; this is so that a wrong folder costs no start.
 */
export function checkModelFolder(path: string): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isFile()) refuseFile(path);
  if (!stat?.isDirectory()) throw new ConfigError(`The model folder ${path} does not exist.`);
  const names = readdirSync(path);
  const lacks = (part: string) => {
    const gguf = names.find((name) => name.endsWith(ggufEnding));
    if (gguf !== undefined) refuseFile(join(path, gguf));
    throw new ConfigError(`The model folder ${path} has no ${part}.`);
  };
  if (!names.includes("config.json")) lacks("config.json");
  if (!names.some((name) => /^model.*\.safetensors$/.test(name))) {
    lacks("weights (model*.safetensors)");
  }
  if (!names.some((name) => tokenizerFiles.includes(name) || name.endsWith(".tiktoken"))) {
    lacks("tokenizer (tokenizer.json)");
  }
}

const ggufEnding = ".gguf";

/** Throws ConfigError: what it is, and what to name in its place. */
function refuseFile(path: string): never {
  const gguf = readGguf(path);
  if (gguf === undefined) throw new ConfigError(`${path} is a file; a model is a folder.`);
  const { name, architecture, madeOf } = gguf;
  const about = [name, architecture].filter((one) => one !== undefined).join(", ");
  const original =
    madeOf === undefined
      ? "Name the model that it was made of, as a folder or a hub id (owner/name)."
      : `It was made of ${madeOf}: --model ${madeOf} serves that.`;
  throw new ConfigError(
    `${path} is a GGUF file${about && ` (${about})`}, the format of llama.cpp and Ollama; models are read from folders of config.json, safetensors and a tokenizer. ${original}`,
  );
}

/** Bytes of all files in a folder and below. */
export function folderBytes(path: string): number {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() || entry.isSymbolicLink())
    .reduce((total, { parentPath, name }) => total + statSync(join(parentPath, name)).size, 0);
}

/** Downloads and converts what is missing of `models`. Rejects with SetupError, or AbortError after `signal`. */
export async function ensureModels(
  models: readonly ModelSource[],
  options: EnvironmentOptions = {},
): Promise<void> {
  if (models.some(({ kind }) => kind === "embedded"))
    await ensureEmbeddedModel(toolOptions(options));
}
