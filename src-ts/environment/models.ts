/**
 * Which models there are on this machine, by id: the embedded one, folders, files and hub models that
 * `mlx-serving models add` registered, and whatever folder or hub id a command names.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
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
import { idOf, modelAt } from "./model-files.js";
import { type EnvironmentOptions, toolOptions } from "./python.js";

export { embeddedModelFolder, embeddedModelId, isEmbeddedModelReady };

const Registry = z.strictObject({
  models: z.array(
    z.strictObject({
      id: z.string().min(1),
      kind: z.enum(["folder", "hub", "gguf"]),
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
  return isKnown || !existsSync(name) ? name : idOf(name);
}

function resolveModel(name: string, env: NodeJS.ProcessEnv): ModelSource {
  if (name === embeddedModelId) {
    return { id: name, kind: "embedded", path: embeddedModelFolder(env) };
  }
  const registered = registeredModels(env);
  const known = registered.find(({ id }) => id === name);
  if (known !== undefined) {
    return { id: name, ...modelAt(known.path) };
  }
  if (existsSync(name)) return { id: idOf(name), ...modelAt(name) };
  if (name.endsWith(".gguf")) throw new ConfigError(`There is no file ${resolve(name)}.`);
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

/** Downloads and converts what is missing of `models`. Rejects with SetupError, or AbortError after `signal`. */
export async function ensureModels(
  models: readonly ModelSource[],
  options: EnvironmentOptions = {},
): Promise<void> {
  if (models.some(({ kind }) => kind === "embedded"))
    await ensureEmbeddedModel(toolOptions(options));
}
