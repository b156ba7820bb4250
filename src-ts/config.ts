/**
 * The options of `serve`: one schema, four sources (flag, environment, file, default, in this order).
 * Owns names, bounds and the sentences about wrong values; reads no flag and no environment on its own.
 */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";

/** The command line, the environment or the configuration file is wrong; exit code 2. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

export const embeddedModelId = "smollm2-135m-instruct";
export const defaultConfigFile = "mlx-serving.config.json";

/** What a value must be, for the error about one that isn't; every schema below carries it. */
interface Description {
  /** Completes “must be …”. */
  expected: string;
  /** What the help text shows after the flag. */
  placeholder: string;
}
const descriptions = z.registry<Description>();

/** Digits as flags and variables have them, numbers as JSON has them. */
const number = z.union([
  z.number(),
  z
    .string()
    .regex(/^-?\d+(\.\d+)?$/)
    .transform(Number),
]);

function describe<T extends z.ZodType>(schema: T, placeholder: string, expected: string): T {
  descriptions.add(schema, { placeholder, expected });
  return schema;
}

function integer(min: number, max: number) {
  const range = `an integer from ${min.toLocaleString("en")} to ${max.toLocaleString("en")}`;
  return describe(number.pipe(z.int().min(min).max(max)), "<n>", range);
}

function decimal(min: number, max: number) {
  const range = `a number from ${min} to ${max.toLocaleString("en")}`;
  return describe(number.pipe(z.number().min(min).max(max)), "<n>", range);
}

function choice<const T extends readonly [string, ...string[]]>(values: T) {
  return describe(z.enum(values), `<${values.join("|")}>`, `one of ${values.join(", ")}`);
}

function list(what: string) {
  const items = z.array(z.string().trim().min(1).max(4096)).min(1).max(256);
  const split = z.union([z.array(z.string()), z.string().transform((text) => text.split(","))]);
  return describe(split.pipe(items), "<list>", `${what}, separated by commas, at most 256`);
}

const text = (placeholder: string, expected: string) =>
  describe(z.string().trim().min(1).max(4096), placeholder, expected);

const millisecondsPerUnit: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Milliseconds, written with a unit: 500ms, 30s, 5m, 1h. */
function duration(maxMs: number, maxText: string) {
  const schema = z
    .union([z.string(), z.number().transform(String)])
    .transform((value, context) => {
      const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(value.trim()) ?? [];
      if (value.trim() === "0") return 0;
      if (amount !== undefined && unit !== undefined)
        return Number(amount) * millisecondsPerUnit[unit]!;
      context.addIssue("not a duration");
      return z.NEVER;
    })
    .pipe(z.number().min(0).max(maxMs));
  return describe(
    schema,
    "<duration>",
    `a duration with its unit, such as 30s or 500ms, at most ${maxText}`,
  );
}

const bytesPerUnit: Record<string, number> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** Bytes: a plain number, or one with a unit. */
function bytes() {
  const schema = z
    .union([z.string(), z.number().transform(String)])
    .transform((value, context) => {
      const [, amount, unit] = /^(\d+(?:\.\d+)?) ?([kKMGT]?i?B)?$/.exec(value.trim()) ?? [];
      const factor = unit === undefined ? 1 : bytesPerUnit[unit];
      if (amount !== undefined && factor !== undefined) return Math.floor(Number(amount) * factor);
      context.addIssue("not a number of bytes");
      return z.NEVER;
    })
    .pipe(z.int().min(0).max(Number.MAX_SAFE_INTEGER));
  return describe(schema, "<bytes>", "a number of bytes such as 8GiB or 500MB");
}

const native = describe(
  z
    .union([
      z.string(),
      z.number().transform(String),
      z.boolean().transform((on) => (on ? "on" : "off")),
    ])
    .transform((value) => ({ "0": "off", "1": "on" })[value] ?? value)
    .pipe(z.enum(["auto", "on", "off"])),
  "<auto|on|off>",
  "one of auto, on, off (or 1, 0)",
);

interface Option<T extends z.ZodType> {
  schema: T;
  default: z.output<T> | undefined;
  help: string;
  repeatable?: boolean;
}

function option<T extends z.ZodType, D extends z.output<T> | undefined>(
  schema: T,
  fallback: D,
  help: string,
  extra: { repeatable?: boolean } = {},
): Option<T> & { default: D } {
  return { schema, default: fallback, help, ...extra };
}

/** Every option of `serve`. Keys of the file are these names; flags and variables follow from them. */
export const serveOptions = {
  host: option(
    text("<address>", "an address or host name"),
    "127.0.0.1",
    "address to listen on; anything but loopback needs --api-key-file",
  ),
  port: option(integer(0, 65_535), 8088, "port to listen on; 0: any free one"),
  model: option(
    list("model ids or folders"),
    [embeddedModelId],
    "model to serve: id or folder; the first is the default",
    { repeatable: true },
  ),
  workers: option(integer(1, 64), 1, "worker processes per model"),
  engine: option(
    choice(["mlx", "fake"]),
    "mlx",
    "mlx, or fake: no model, for tests and client development",
  ),
  maxBatch: option(
    integer(1, 256),
    16,
    "requests that a worker decodes together; 1: the deterministic profile",
  ),
  maxQueue: option(integer(0, 100_000), 256, "requests that may wait, all models together"),
  maxContext: option(
    integer(1, 16_777_216),
    undefined,
    "tokens of prompt and answer together; default: what the model can",
  ),
  memoryBudget: option(
    bytes(),
    undefined,
    "bytes for weights and KV cache; default: 70 % of what the machine or GPU has",
  ),
  native: option(native, "auto", "native acceleration"),
  nativeParts: option(
    list("names of native parts"),
    undefined,
    "native parts that --native is about; default: all",
  ),
  device: option(choice(["auto", "cpu", "gpu"]), "auto", "where the model runs"),
  apiKeyFile: option(
    text("<file>", "a file name"),
    undefined,
    "file with one API key a line; # starts a comment",
  ),
  allowedHosts: option(
    list("host names"),
    undefined,
    "names by which clients may call this server, besides its address",
    { repeatable: true },
  ),
  allowedOrigins: option(
    list("origins such as https://example.org"),
    undefined,
    "web origins that may use this server",
    { repeatable: true },
  ),
  dataDir: option(
    text("<folder>", "a folder"),
    undefined,
    "folder for stored responses; default: they are kept in memory",
  ),
  resumeGrace: option(
    duration(86_400_000, "24h"),
    30_000,
    "how long a Responses stream goes on without its reader",
  ),
  drainTimeout: option(
    duration(86_400_000, "24h"),
    30_000,
    "how long running responses may take to end at SIGTERM",
  ),
  retentionBytes: option(bytes(), 256 * 2 ** 20, "memory for finished responses"),
  retentionAge: option(
    duration(30 * 86_400_000, "720h"),
    3_600_000,
    "how long finished responses are kept",
  ),
  logLevel: option(
    choice(["trace", "debug", "info", "warn", "error", "silent"]),
    "info",
    "what goes to the log (stderr)",
  ),
  fakeTokensPerSecond: option(
    decimal(0, 1_000_000),
    0,
    "fake engine: speed of one stream; 0: as fast as it can",
  ),
  wsEchoPort: option(
    integer(0, 65_535),
    undefined,
    "tests only: a WebSocket echo with this server's options",
  ),
} satisfies Record<string, Option<z.ZodType>>;

type Options = typeof serveOptions;
export type OptionName = keyof Options;

/** Every option with its value: durations in milliseconds, sizes in bytes. */
export type ServeConfig = {
  [K in OptionName]:
    | z.output<Options[K]["schema"]>
    | (undefined extends Options[K]["default"] ? undefined : never);
};

/** The one schema: every option may be absent, nothing else may be present. */
export const ServeInput = z.strictObject(
  Object.fromEntries(
    Object.entries(serveOptions).map(([name, { schema }]) => [name, schema.optional()]),
  ) as { [K in OptionName]: z.ZodOptional<Options[K]["schema"]> },
);
/** Options as a program, a flag or a file gives them: sizes and durations may be strings with units. */
export type ServeInput = z.input<typeof ServeInput>;

export const optionNames = Object.keys(serveOptions) as OptionName[];

const kebab = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const camel = (name: string) =>
  name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
export const flagOf = (name: OptionName) => `--${kebab(name)}`;
export const variableOf = (name: OptionName) =>
  `MLX_SERVING_${kebab(name).replaceAll("-", "_").toUpperCase()}`;
export const placeholderOf = (name: OptionName) => descriptionOf(name).placeholder;

function descriptionOf(name: OptionName): Description {
  const description = descriptions.get(serveOptions[name].schema);
  if (description === undefined) throw new Error(`option ${name} has no description`);
  return description;
}

export interface ConfigSources {
  /** By option name; what was not given is absent or undefined. */
  flags?: Record<string, unknown>;
  environment?: NodeJS.ProcessEnv;
  /** A file that must exist; undefined: `mlx-serving.config.json` in `folder`, if there is one. */
  file?: string | undefined;
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
      throw new ConfigError(`Unknown key "${key}" in ${shown}${suggestion(key)}`);
    if (found.has(name)) throw new ConfigError(`The key "${key}" stands twice in ${shown}.`);
    found.set(name, { value, label: `"${key}" in ${shown}` });
  }
  return [...found];
}

function readJsonObject(path: string, shown: string): Record<string, unknown> {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new ConfigError(`${shown} can't be read: ${(error as Error).message}.`, { cause: error });
  }
  if (typeof content === "object" && content !== null && !Array.isArray(content))
    return { ...content };
  throw new ConfigError(`${shown} must hold one JSON object with options of serve.`);
}

function isOptionName(name: string): name is OptionName {
  return Object.hasOwn(serveOptions, name);
}

/** The option whose name shares the longest beginning, if that is most of it. */
function suggestion(key: string): string {
  const flat = (name: string) => name.replaceAll("-", "").toLowerCase();
  const near = optionNames.find(
    (name) => flat(name).startsWith(flat(key)) || flat(key).startsWith(flat(name)),
  );
  return near === undefined ? "." : `; did you mean "${near}"?`;
}

function parse(given: Map<OptionName, Sourced>): z.output<typeof ServeInput> {
  const raw = Object.fromEntries([...given].map(([name, { value }]) => [name, value]));
  const result = ServeInput.safeParse(raw);
  if (result.success) return result.data;
  const name = result.error.issues[0]?.path[0] as OptionName;
  const { value, label } = given.get(name)!;
  throw new ConfigError(`${label} must be ${descriptionOf(name).expected}, not ${show(value)}.`);
}

function show(value: unknown): string {
  const shown = JSON.stringify(value) ?? String(value);
  return shown.length > 80 ? `${shown.slice(0, 77)}…` : shown;
}

/** What depends on more than one option, or isn't in this version. */
function checkTogether(config: ServeConfig, label: (name: OptionName) => string): void {
  if (config.native === "on") {
    throw new ConfigError(
      `${label("native")} is on, but this version has no native module; use auto or off.`,
    );
  }
  if (config.dataDir !== undefined) {
    throw new ConfigError(
      `${label("dataDir")} is not supported yet; leave it out: responses are kept in memory.`,
    );
  }
  if (!isLoopback(config.host) && config.apiKeyFile === undefined) {
    throw new ConfigError(
      `${label("host")} ${config.host} is reachable from other machines: give --api-key-file too, or listen on 127.0.0.1.`,
    );
  }
}

/** 127.0.0.0/8, ::1 and localhost. */
export function isLoopback(host: string): boolean {
  return (
    host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host)
  );
}

/**
 * The keys of an API key file: one a line, `#` starts a comment. Throws ConfigError if it can't be read
 * or holds none.
 */
export function readApiKeys(path: string): string[] {
  let content: string;
  try {
    content = readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError(`The API key file ${path} can't be read; check its name and rights.`, {
      cause: error,
    });
  }
  const keys = content
    .split(/\r?\n/)
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "");
  if (keys.length > 0) return keys;
  throw new ConfigError(`The API key file ${path} holds no key; write one a line.`);
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
