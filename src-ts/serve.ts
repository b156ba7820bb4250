/**
 * The whole server inside one process: Python environment, models, engine, HTTP and WebSocket. Composes
 * the parts and ends them in order; each part knows nothing of the others.
 */
import { resolveConfig } from "./config.js";
import { type EngineHooks, engineFor } from "./create-engine.js";
import type { Engine } from "./engine/api.js";
import { fixedKeys, type KeySource } from "./keys/entry.js";
import { KeyFile } from "./keys/file.js";
import { UsageFile } from "./keys/usage-file.js";
import type { ServeConfig, ServeInput } from "./options.js";
import {
  createServer,
  type ServerLogger,
  type ServerOptions,
  type ServingServer,
} from "./server/index.js";
import { type ResolvedTelemetry, telemetrySettings } from "./telemetry/settings.js";
import type { Telemetry, TelemetryParts } from "./telemetry/telemetry.js";

export interface ServeHooks extends EngineHooks {
  /** The engine exists and begins to load; nothing listens yet. */
  onEngine?: ((engine: Engine) => void) | undefined;
  /** What the environment says of telemetry. Default: what the option `otlpEndpoint` says alone. */
  telemetry?: ResolvedTelemetry | undefined;
  /** `POST /admin/drain` was called: whoever owns the process ends it. Default: the server drains alone. */
  onDrainRequested?: (() => void) | undefined;
}

/** A server that listens. */
export interface RunningServer {
  /** Such as `http://127.0.0.1:8088`. */
  readonly url: string;
  readonly engine: Engine;
  /**
   * Accepts nothing more, lets running responses end for `timeoutMs` (default: `drainTimeout`), then
   * ends everything. Resolves when no process and no socket remains.
   */
  drain(timeoutMs?: number): Promise<void>;
  /** Ends everything at once. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts a server and resolves once its default model can take work. Options are those of `mlx-serving
 * serve`, in camel case; neither the environment nor a configuration file is read. Rejects with
 * ConfigError (options), SetupError (environment, download), ServingError (model) or the error of
 * `listen`, with everything closed again.
 *
 * @example
 * await using server = await serve({ port: 0, engine: "fake" });
 * await fetch(`${server.url}/v1/models`);
 */
export async function serve(
  options: ServeInput = {},
  hooks: ServeHooks = {},
): Promise<RunningServer> {
  return serveConfig(resolveConfig({ flags: options, file: null }), hooks);
}

/** The same with all options resolved. */
export async function serveConfig(
  config: ServeConfig,
  hooks: ServeHooks = {},
): Promise<RunningServer> {
  const { signal, logger = silent } = hooks;
  const keys = keysOf(config, logger);
  let engine: Engine | undefined;
  let server: ServingServer | undefined;
  let telemetry: Telemetry | undefined;
  const close = async () => {
    keys.close();
    await server?.close();
    await engine?.close();
    await telemetry?.close();
  };
  try {
    engine = await engineFor(config, { ...hooks, logger });
    hooks.onEngine?.(engine);
    telemetry = await telemetryOf(config, hooks, {
      engine,
      logger,
      address: () => server?.address,
    });
    const options = serverOptions(config, keys, logger, hooks);
    server = createServer({
      engine,
      logger,
      config: { ...options, telemetry: telemetry?.figures },
    });
    const { url } = await server.listen();
    await abortable(engine.whenReady(), signal);
    return running({ server, engine, url }, close, config.drainTimeout);
  } catch (error) {
    await close();
    throw error;
  }
}

/** Throws ConfigError. */
function keysOf(
  { apiKeyFile, apiKey }: ServeConfig,
  logger: ServerLogger,
): KeySource & { close(): void } {
  const more = apiKey === undefined ? [] : [apiKey];
  if (apiKeyFile === undefined) return { ...fixedKeys(more), close() {} };
  return new KeyFile(apiKeyFile, {
    keys: more,
    log: (level, message, fields) => logger[level](fields, message),
  });
}

/** Its code is loaded only where it is on. */
async function telemetryOf(
  { otlpEndpoint }: ServeConfig,
  hooks: ServeHooks,
  parts: Omit<TelemetryParts, "settings">,
): Promise<Telemetry | undefined> {
  const { settings, notes } = hooks.telemetry ?? telemetrySettings(otlpEndpoint, {});
  for (const note of notes) parts.logger.warn({}, note);
  if (settings === undefined) return undefined;
  const { Telemetry } = await import("./telemetry/telemetry.js");
  return Telemetry.start({ ...parts, settings });
}

function serverOptions(
  config: ServeConfig,
  keys: KeySource,
  logger: ServerLogger,
  { onDrainRequested }: ServeHooks,
): ServerOptions {
  return {
    host: config.host,
    port: config.port,
    keys,
    // The folder is locked by now: nobody else writes there.
    usage:
      config.dataDir === undefined
        ? undefined
        : new UsageFile(config.dataDir, (message, fields) => logger.warn(fields, message)),
    allowedHosts: config.allowedHosts,
    allowedOrigins: config.allowedOrigins,
    strict: config.strict,
    agentNoise: config.agentNoise,
    lateSystem: config.lateSystem,
    resumeGraceMs: config.resumeGrace,
    drainTimeoutMs: config.drainTimeout,
    wsEchoPort: config.wsEchoPort,
    onDrainRequested,
  };
}

function running(
  { server, engine, url }: { server: ServingServer; engine: Engine; url: string },
  close: () => Promise<void>,
  drainTimeoutMs: number,
): RunningServer {
  return {
    url,
    engine,
    async drain(timeoutMs = drainTimeoutMs) {
      await server.drain(timeoutMs);
      await close();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
    if (signal.aborted) stop();
  });
}

const ignore = () => {};
const silent: ServerLogger = { debug: ignore, info: ignore, warn: ignore, error: ignore };
