/**
 * Where the options of `serve` come from: flag, environment, file, default, in this order. Owns the
 * sentences about what is wrong; `options.ts` owns what is right.
 */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { z } from "zod";
import { notJson } from "./json-fault.js";
import { isLoopback } from "./loopback.js";
import { didYouMean } from "./nearest.js";
import {
  expectedOf,
  flagOf,
  type OptionName,
  optionNames,
  type ServeConfig,
  ServeInput,
  serveOptions,
  variableOf,
} from "./options.js";

/** The command line, the environment or the configuration file is wrong; exit code 2. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

export const defaultConfigFile = "mlx-serving.config.json";

export interface ConfigSources {
  /** By option name; what was not given is absent or undefined. */
  flags?: Record<string, unknown>;
  environment?: NodeJS.ProcessEnv;
  /** A file that must exist; undefined: `mlx-serving.config.json` in `folder`, if there is one; null: none. */
  file?: string | null | undefined;
  folder?: string;
}

interface Sourced {
  value: unknown;
  /** What the user calls it: a flag, a variable, a key of the file. */
  label: string;
}

/**
 * Merges and checks all sources. Throws ConfigError with one sentence that names the flag, variable or
 * key that is wrong and what it must be.
 */
export function resolveConfig(sources: ConfigSources): ServeConfig {
  const given = new Map<OptionName, Sourced>([
    ...readFileOptions(sources),
    ...readVariables(sources.environment ?? {}),
    ...readFlags(sources.flags ?? {}),
  ]);
  const values = parse(given);
  const config = Object.fromEntries(
    optionNames.map((name) => [name, values[name] ?? serveOptions[name].default]),
  ) as ServeConfig;
  checkTogether(config, (name) => given.get(name)?.label ?? flagOf(name));
  return config;
}

function readFlags(flags: Record<string, unknown>): [OptionName, Sourced][] {
  return Object.entries(flags).flatMap(([key, value]): [OptionName, Sourced][] => {
    if (value === undefined) return [];
    if (!isOptionName(key)) throw new ConfigError(`There is no option "${key}".`);
    return [[key, { value, label: flagOf(key) }]];
  });
}

function readVariables(environment: NodeJS.ProcessEnv): [OptionName, Sourced][] {
  return optionNames.flatMap((name): [OptionName, Sourced][] => {
    const value = environment[variableOf(name)];
    return value === undefined || value === "" ? [] : [[name, { value, label: variableOf(name) }]];
  });
}

function readFileOptions({ file, folder = process.cwd() }: ConfigSources): [OptionName, Sourced][] {
  if (file === null) return [];
  const path = resolve(folder, file ?? defaultConfigFile);
  if (!existsSync(path)) {
    if (file === undefined) return [];
    throw new ConfigError(`The configuration file ${file} does not exist.`);
  }
  const shown = file ?? defaultConfigFile;
  const found = new Map<OptionName, Sourced>();
  for (const [key, value] of Object.entries(readJsonObject(path, shown))) {
    const name = camel(key);
    if (!isOptionName(name))
      throw new ConfigError(`Unknown key "${key}" in ${shown}.${didYouMean(key, optionNames)}`);
    if (found.has(name)) throw new ConfigError(`The key "${key}" stands twice in ${shown}.`);
    found.set(name, { value, label: `"${key}" in ${shown}` });
  }
  return [...found];
}

function readJsonObject(path: string, shown: string): Record<string, unknown> {
  const content = parseFile(textOf(path, shown), shown);
  if (typeof content === "object" && content !== null && !Array.isArray(content))
    return { ...content };
  throw new ConfigError(`${shown} must hold one JSON object with options of serve.`);
}

function textOf(path: string, shown: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new ConfigError(`${shown} can't be read: ${(cause as Error).message}.`, { cause });
  }
}

function parseFile(text: string, shown: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ConfigError(notJson(shown, text, cause), { cause });
  }
}

const camel = (name: string) =>
  name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

function isOptionName(name: string): name is OptionName {
  return Object.hasOwn(serveOptions, name);
}

function parse(given: Map<OptionName, Sourced>): z.output<typeof ServeInput> {
  const raw = Object.fromEntries([...given].map(([name, { value }]) => [name, value]));
  const result = ServeInput.safeParse(raw);
  if (result.success) return result.data;
  const name = result.error.issues[0]?.path[0] as OptionName;
  const { value, label } = given.get(name)!;
  // A key stands in no message.
  const not = name === "apiKey" ? "" : `, not ${show(value)}`;
  throw new ConfigError(`${label} must be ${expectedOf(name)}${not}.`);
}

function show(value: unknown): string {
  const shown = JSON.stringify(value) ?? String(value);
  return shown.length > 80 ? `${shown.slice(0, 77)}…` : shown;
}

/** What depends on more than one option, or isn't in this version. */
function checkTogether(config: ServeConfig, label: (name: OptionName) => string): void {
  if (config.fsync && config.dataDir === undefined) {
    throw new ConfigError(`${label("fsync")} is about stored responses: give --data-dir too.`);
  }
  if (config.kvBits !== 0 && config.engine === "fake") {
    throw new ConfigError(
      `${label("kvBits")} ${config.kvBits} needs --engine mlx: the fake engine keeps no keys and values.`,
    );
  }
  if (config.fakeScript !== undefined && config.engine !== "fake") {
    throw new ConfigError(`${label("fakeScript")} is for the fake engine: give --engine fake too.`);
  }
  const hasKeys = config.apiKeyFile !== undefined || config.apiKey !== undefined;
  if (!isLoopback(config.host) && !hasKeys) {
    throw new ConfigError(
      `${label("host")} ${config.host} is reachable from other machines: give --api-key-file too, or listen on 127.0.0.1.`,
    );
  }
}

const otherVariables = ["CACHE", "PYTHON", "PYTHON_ENV", "ACCELERATOR", "CONFIG"];

/** Variables with our prefix that mean nothing: misspelt, or made by a container platform for a service of our name. */
export function unknownVariables(environment: NodeJS.ProcessEnv): string[] {
  const known = new Set([
    ...optionNames.map(variableOf),
    ...otherVariables.map((name) => `MLX_SERVING_${name}`),
  ]);
  return Object.keys(environment).filter(
    (name) => name.startsWith("MLX_SERVING_") && !known.has(name),
  );
}
