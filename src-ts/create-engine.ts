/** `mlx-serving/engine`: the orchestrator and its workers, without sockets. */
import { resolve } from "node:path";
import { ConfigError, resolveConfig } from "./config.js";
import type { Engine, EngineOptions } from "./engine/api.js";
import { startEngine, systemPorts } from "./engine/index.js";
import type { Journal } from "./engine/journal.js";
import type { Clock } from "./engine/ports.js";
import { logEngine } from "./engine-log.js";
import { resolveModels } from "./environment/models.js";
import { nativeEnvironment } from "./environment/native.js";
import { prepare } from "./environment/prepare.js";
import type { EnvironmentOptions } from "./environment/python.js";
import { readFakeScript } from "./fake-script.js";
import { FolderUnusable, openJournal } from "./journal/index.js";
import type { ServeConfig, ServeInput } from "./options.js";
import type { ServerLogger } from "./server/index.js";
import type { ModelSource } from "./worker/messages.js";

export * from "./engine/index.js";

/** `onNote`: by default notes are warnings of the logger. */
export interface EngineHooks extends EnvironmentOptions {
  /** Default: nothing is logged. */
  logger?: ServerLogger | undefined;
}

/** Those options of `mlx-serving serve` that are about models and workers, in camel case. */
export type EngineSettings = Pick<
  ServeInput,
  | "model"
  | "workers"
  | "spareWorkers"
  | "engine"
  | "maxBatch"
  | "maxQueue"
  | "maxContext"
  | "memoryBudget"
  | "prefixCache"
  | "prefixCacheDir"
  | "prefixCacheDisk"
  | "prefixSharing"
  | "kvBits"
  | "native"
  | "nativeParts"
  | "noBuild"
  | "device"
  | "controlTokens"
  | "dataDir"
  | "fsync"
  | "fakeTokensPerSecond"
  | "fakeScript"
  | "retentionBytes"
  | "retentionAge"
  | "alias"
>;

/**
 * Starts an engine. Resolves when its Python environment, its models and native parts are there (the first
 * time that takes minutes: `onProgress` tells; `noBuild` leaves native parts out); workers load in the
 * background, and `whenReady` tells when the default model can take work. Rejects with ConfigError
 * (options) or SetupError (environment, download).
 *
 * @example
 * await using engine = await createEngine({ engine: "fake" });
 * const response = await engine.submit({ input: { kind: "text", text: "Once" }, maxTokens: 20 });
 * for await (const entry of response.read(-1))
 *   if (entry.kind === "delta") process.stdout.write(entry.text);
 */
export async function createEngine(
  options: EngineSettings = {},
  hooks: EngineHooks = {},
): Promise<Engine> {
  return engineFor(resolveConfig({ flags: options, file: null }), hooks);
}

/** The same with all options resolved. */
export async function engineFor(config: ServeConfig, hooks: EngineHooks): Promise<Engine> {
  const { logger, signal } = hooks;
  const script = config.fakeScript;
  const fakeScript = script === undefined ? undefined : readFakeScript(script);
  const models = resolveModels(config.model, config.engine, hooks.env);
  const onNote = hooks.onNote ?? ((text) => logger?.warn(text));
  const python = await prepare(models, config, { ...hooks, onNote });
  signal?.throwIfAborted();
  const ports = systemPorts({
    command: ({ native }) => ({
      ...python,
      env: nativeEnvironment(native ? config : { ...config, native: "off" }, hooks.env),
    }),
    onOutput: (worker, line) => logger?.info({ worker }, line),
  });
  const journal = await journalOf(config, ports.clock, logger);
  const engine = startEngine(engineOptions(config, models, fakeScript), { ...ports, journal });
  if (logger !== undefined) logEngine(engine, logger);
  return engine;
}

async function journalOf(
  { dataDir, fsync }: ServeConfig,
  clock: Clock,
  logger: ServerLogger | undefined,
): Promise<Journal | undefined> {
  if (dataDir === undefined) return undefined;
  try {
    return await openJournal({
      folder: dataDir,
      fsync,
      clock,
      log: (level, message, fields) => logger?.[level](fields, message),
    });
  } catch (error) {
    if (!(error instanceof FolderUnusable)) throw error;
    throw new ConfigError(`--data-dir ${dataDir} can't be used: ${error.message}.`, {
      cause: error,
    });
  }
}

/** Throws ConfigError for an alias of a model that is not served. */
function aliasesOf({ alias }: ServeConfig, models: readonly ModelSource[]): Record<string, string> {
  const ids = models.map(({ id }) => id);
  for (const [name, id] of alias)
    if (!ids.includes(id))
      throw new ConfigError(
        `--alias ${name}=${id} stands for a model that is not served; served is ${ids.join(", ")}.`,
      );
  return Object.fromEntries(alias);
}

function engineOptions(
  config: ServeConfig,
  models: readonly ModelSource[],
  fakeScript: EngineOptions["fakeScript"],
): EngineOptions {
  return {
    models,
    aliases: aliasesOf(config, models),
    workersPerModel: config.workers,
    spareWorkersPerModel: config.spareWorkers,
    engine: config.engine,
    maxBatch: config.maxBatch,
    queueMax: config.maxQueue,
    contextMax: config.maxContext ?? 0,
    memoryBudgetBytes: config.memoryBudget ?? 0,
    prefixCacheBytes: config.prefixCache.bytes,
    prefixCacheShare: config.prefixCache.share,
    prefixDiskFolder: config.prefixCacheDir === undefined ? "" : resolve(config.prefixCacheDir),
    prefixDiskBytes: config.prefixCacheDisk,
    prefixSharing: config.prefixSharing,
    kvBits: config.kvBits,
    device: config.device,
    controlTokens: config.controlTokens,
    fakeTokensPerSecond: config.fakeTokensPerSecond,
    fakeScript,
    retentionBytesMax: config.retentionBytes,
    retentionMs: config.retentionAge,
  };
}
