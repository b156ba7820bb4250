/**
 * The options of `serve`: names, kinds of values, bounds, defaults, help. One schema for a flag, a
 * variable and a key of the configuration file.
 */
import { z } from "zod";
import { isHttpUrl } from "./telemetry/settings.js";
import { nativeParts } from "./worker/figures.js";

export const embeddedModelId = "smollm2-135m-instruct";

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

function oneOf<const T extends readonly [number, ...number[]]>(values: T) {
  const names = values.join("|");
  return describe(number.pipe(z.literal(values)), `<${names}>`, `one of ${values.join(", ")}`);
}

function decimal(min: number, max: number) {
  const range = `a number from ${min} to ${max.toLocaleString("en")}`;
  return describe(number.pipe(z.number().min(min).max(max)), "<n>", range);
}

function choice<const T extends readonly [string, ...string[]]>(values: T) {
  return describe(z.enum(values), `<${values.join("|")}>`, `one of ${values.join(", ")}`);
}

const split = z.string().transform((text) => text.split(",").map((item) => item.trim()));

/** A flag that is given again and again may have several values each time. */
const splitAll = z.array(z.string()).transform((texts) => texts.flatMap((text) => text.split(",")));

function list(what: string, placeholder = "<list>", item: z.ZodType<string, string> = z.string()) {
  const items = z.array(z.string().trim().min(1).max(4096).pipe(item)).min(1).max(256);
  const given = z.union([splitAll, split]);
  return describe(given.pipe(items), placeholder, `${what}, separated by commas, at most 256`);
}

/** A name as it is compared, or a star alone: a pattern would never match. */
const nameOrAll = z.string().regex(/^(\*|[^*]+)$/);

/** As browsers send them. */
const originOrAll = z.string().regex(/^(\*|null|[a-z][a-z0-9+.-]*:\/\/[^/*\s]+\/?)$/i);

const text = (placeholder: string, expected: string) =>
  describe(z.string().trim().min(1).max(4096), placeholder, expected);

const apiKey = describe(
  z.string().regex(/^[\x21-\x7e]{1,1024}$/),
  "<key>",
  "a key of at most 1,024 printable ASCII characters without spaces",
);

const httpUrl = describe(
  z
    .string()
    .trim()
    .max(4096)
    .refine((value) => isHttpUrl(value)),
  "<url>",
  "a URL such as http://localhost:4318",
);

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

/** Of what a model's weights leave of the memory, the prefix cache has at most so much. */
const prefixShareMax = 0.9;

export interface PrefixCacheSize {
  /** At most so many bytes, */
  bytes: number;
  /** and at most this share of what the weights leave. */
  share: number;
}

/** Bytes as above, or a share such as 50%. */
function bytesOrShare() {
  const share = z
    .string()
    .trim()
    .regex(/^\d+(\.\d+)?\s?%$/)
    .transform((value) => Number.parseFloat(value) / 100)
    .pipe(z.number().min(0).max(prefixShareMax))
    .transform((value): PrefixCacheSize => ({ bytes: Number.MAX_SAFE_INTEGER, share: value }));
  const amount = bytes().transform(
    (value): PrefixCacheSize => ({ bytes: value, share: prefixShareMax }),
  );
  return describe(
    z.union([share, amount]),
    "<bytes|share>",
    `a number of bytes such as 2GiB, or a share such as 50%, at most ${prefixShareMax * 100}%`,
  );
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

/** A flag needs no value; a variable and a key of the file have one. */
const flag = describe(
  z.union([
    z.boolean(),
    z
      .enum(["on", "off", "true", "false", "1", "0"])
      .transform((value) => /^(on|true|1)$/.test(value)),
  ]),
  "[on|off]",
  "on or off",
);

const partNames = z
  .array(z.enum([...nativeParts, "all"]))
  .min(1)
  .max(64);

/** Each once, or `all` alone. */
const partList = describe(
  z
    .union([partNames, split.pipe(partNames)])
    .transform((names) => (names.includes("all") ? (["all"] as const) : [...new Set(names)])),
  "<parts>",
  `some of ${nativeParts.join(", ")}, separated by commas, or all`,
);

const aliasNames = z
  .array(z.string().max(4096))
  .max(256)
  .transform((items) =>
    items.map((item) =>
      item
        .trim()
        .split(/=(.*)/s, 2)
        .map((side) => side.trim()),
    ),
  )
  .pipe(z.array(z.tuple([z.string().min(1), z.string().min(1)])))
  .refine((pairs) => new Set(pairs.map(([name]) => name)).size === pairs.length);

/** Name and id, each name once. */
const aliasList = describe(
  z.union([aliasNames, split.pipe(aliasNames)]),
  "<name=id>",
  "names with the ids of models, such as gpt-4=smollm2-135m-instruct or *=smollm2-135m-instruct, separated by commas, each name once, at most 256",
);

interface Option<T extends z.ZodType> {
  schema: T;
  default: z.output<T> | undefined;
  help: string;
  repeatable?: boolean;
  /** No part of the help: for this project's own tests. */
  hidden?: boolean;
}

function option<T extends z.ZodType, D extends z.output<T> | undefined>(
  schema: T,
  fallback: D,
  help: string,
  extra: { repeatable?: boolean; hidden?: boolean } = {},
): Option<T> & { default: D } {
  return { schema, default: fallback, help, ...extra };
}

/** Every option of `serve`. Keys of the file are these names; flags and variables follow from them. */
export const serveOptions = {
  host: option(
    text("<address>", "an address or host name"),
    "127.0.0.1",
    "address to listen on; anything but loopback needs keys",
  ),
  port: option(integer(0, 65_535), 8088, "port to listen on; 0: any free one"),
  model: option(
    list("model ids or folders", "<id|folder>"),
    [embeddedModelId],
    "model to serve: id or folder; the first is the default",
    { repeatable: true },
  ),
  alias: option(
    aliasList,
    [] as [string, string][],
    "a further name of a model, for clients with names of their own: name=id; *=id: whatever name comes",
    { repeatable: true },
  ),
  workers: option(integer(1, 64), 1, "worker processes per model"),
  spareWorkers: option(
    integer(0, 8),
    0,
    "more processes per model that stand by, loaded: a crash then costs no model load",
  ),
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
  prefixCache: option(
    bytesOrShare(),
    { bytes: Number.MAX_SAFE_INTEGER, share: 0.5 },
    "what computed prompts may take, to be used again: bytes, or a share of what the weights leave; 0: none",
  ),
  prefixCacheDir: option(
    text("<folder>", "a folder"),
    undefined,
    "folder in which computed prompts survive this process; default: they are kept in memory alone",
  ),
  prefixCacheDisk: option(
    bytes(),
    10 * 2 ** 30,
    "bytes that computed prompts may take in --prefix-cache-dir",
  ),
  prefixSharing: option(
    choice(["own", "all"]),
    "own",
    "who shares computed prompts: own, requests with the same API key; all, whoever asks",
  ),
  kvBits: option(
    oneOf([0, 4, 8]),
    0,
    "bits of keys and values in the KV cache; 8 takes half of 16-bit floats, 4 a quarter; 0: as they are computed",
  ),
  native: option(
    native,
    "auto",
    "native parts; auto: those that are there and measured worth it; on: all, and they must be there; off: none",
  ),
  nativeParts: option(
    partList,
    undefined,
    `native parts that --native is about: ${nativeParts.join(", ")}, or all; default: all if it is on, else those worth it`,
  ),
  noBuild: option(
    flag,
    false,
    "build no native parts at the start; those that are there are used all the same",
  ),
  device: option(choice(["auto", "cpu", "gpu"]), "auto", "where the model runs"),
  controlTokens: option(
    choice(["text", "parse"]),
    "text",
    "control tokens in the messages of a chat: text, as whatever a user writes; parse: what they are to the model",
  ),
  apiKeyFile: option(
    text("<file>", "a file name"),
    undefined,
    "file with one API key a line, each with its limits (docs/KEYS.md); read again when it changes",
  ),
  apiKey: option(
    apiKey,
    undefined,
    "an API key beside those of the file; others see a command line: better MLX_SERVING_API_KEY",
  ),
  allowedHosts: option(
    list("host names, or * for all", "<list>", nameOrAll),
    undefined,
    "names by which clients may call this server, besides its address; *: whatever name, which lets a page of anybody's be led here by its own name",
    { repeatable: true },
  ),
  allowedOrigins: option(
    list("origins such as https://example.org, or * for all", "<list>", originOrAll),
    undefined,
    "web origins that may use this server, besides its own and, on loopback, those of this machine; *: every page of anybody's",
    { repeatable: true },
  ),
  strict: option(
    flag,
    false,
    "refuse hints that can't be followed and unknown fields, in place of ignoring them",
  ),
  agentNoise: option(
    choice(["strip", "keep"]),
    "strip",
    "what agents write into every request of Anthropic's API, and another each time (billing header, token counter): left out, so that prefixes stay cached, or kept",
  ),
  lateSystem: option(
    choice(["user", "refuse"]),
    "user",
    "a system message between turns of Anthropic's API, where the model's template refuses it: a part of the user's turn, or refused",
  ),
  dataDir: option(
    text("<folder>", "a folder"),
    undefined,
    "folder in which stored responses survive this process; default: they are kept in memory",
  ),
  fsync: option(
    flag,
    false,
    "with --data-dir: stored responses survive a loss of power too, at a write to the disk each time",
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
  retentionBytes: option(bytes(), 256 * 2 ** 20, "what finished responses may take"),
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
  otlpEndpoint: option(
    httpUrl,
    undefined,
    "where OpenTelemetry traces and metrics go, as OTLP over HTTP; default: OTEL_EXPORTER_OTLP_ENDPOINT, else nowhere",
  ),
  fakeTokensPerSecond: option(
    decimal(0, 1_000_000),
    0,
    "fake engine: speed of one stream; 0: as fast as it can",
  ),
  fakeScript: option(
    text("<file>", "a file name"),
    undefined,
    'fake engine: what it says to whom, a JSON list of {"when", "say", "tools"?, "repeat"?}',
  ),
  wsEchoPort: option(
    integer(0, 65_535),
    undefined,
    "tests only: a WebSocket echo with this server's options",
    { hidden: true },
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
export const flagOf = (name: OptionName) => `--${kebab(name)}`;
export const variableOf = (name: OptionName) =>
  `MLX_SERVING_${kebab(name).replaceAll("-", "_").toUpperCase()}`;
export const placeholderOf = (name: OptionName) => descriptionOf(name).placeholder;

/** What a value must be, for an error about one that isn't. */
export const expectedOf = (name: OptionName) => descriptionOf(name).expected;

function descriptionOf(name: OptionName): Description {
  const description = descriptions.get(serveOptions[name].schema);
  if (description === undefined) throw new Error(`option ${name} has no description`);
  return description;
}
