/** The server: an engine in, HTTP and WebSocket out. */
import type { AddressInfo } from "node:net";
import type { Engine } from "../engine/api.js";
import type { ServingError } from "../errors.js";
import { Gate } from "./access/gate.js";
import { HostPolicy } from "./access/hosts.js";
import { type Asker, Keys } from "./access/keys.js";
import { Limits } from "./access/limits.js";
import { Sessions } from "./access/sessions.js";
import { Tickets } from "./access/tickets.js";
import { BodyBudget } from "./bodies/budget.js";
import { ConsoleAssets } from "./console/assets.js";
import type { ServerContext } from "./context.js";
import { DocsSite } from "./docs/site.js";
import { createApp } from "./http/app.js";
import { History } from "./operations/history.js";
import { KeyUse } from "./operations/key-use.js";
import { LiveFeed } from "./operations/live-feed.js";
import { Metrics } from "./operations/metrics.js";
import { Resumes } from "./operations/reliability-metrics.js";
import { SchemaRefusals } from "./operations/schema-refusals.js";
import {
  resolveOptions,
  type ServerConfig,
  type ServerLogger,
  type ServerOptions,
} from "./options.js";
import { addRoutes } from "./routes.js";
import { Echo } from "./websocket/echo.js";
import { WebSockets } from "./websocket/sockets.js";

export type { ServerLimits, ServerLogger, ServerOptions } from "./options.js";
export { defaultLimits } from "./options.js";

export interface ServerAddress {
  host: string;
  port: number;
  /** `http://host:port`; a wildcard address is shown as loopback. */
  url: string;
}

export interface ServingServer {
  /** Resolves once connections are taken. Rejects with the system's error (`EADDRINUSE`, …). */
  listen(): Promise<ServerAddress>;
  /** Undefined until it listens. */
  readonly address: ServerAddress | undefined;
  /** Where the echo of `wsEchoPort` listens. */
  readonly echoPort: number | undefined;
  /**
   * Lets running responses end, for `timeoutMs` at most, takes no new ones, closes every socket with
   * 1012, and stops listening. `/ready` answers 503 until then. The engine is left to its owner.
   */
  drain(timeoutMs?: number): Promise<void>;
  /** Stops listening and closes every connection, whatever runs on it. */
  close(): Promise<void>;
}

export interface ServerParts {
  engine: Engine;
  config?: ServerOptions;
  logger?: ServerLogger;
}

const silent: ServerLogger = { debug() {}, info() {}, warn() {}, error() {} };

/** After a drain: how long readers have to take their last events, in ms. */
const flushGraceMs = 5_000;

/** How long a closed socket has to answer, in ms. */
const closeGraceMs = 1_000;

export function createServer({ engine, config = {}, logger = silent }: ServerParts): ServingServer {
  return new Server(engine, resolveOptions(config), config.onDrainRequested, logger);
}

class Server implements ServingServer {
  address: ServerAddress | undefined;
  echoPort: number | undefined;
  private readonly context: ServerContext;
  private readonly hosts: HostPolicy;
  private readonly app: ReturnType<typeof createApp>;
  private readonly sockets: WebSockets;
  private readonly metrics: Metrics;
  private readonly history: History;
  private readonly feed: LiveFeed;
  private readonly limits: Limits;
  private readonly echo: Echo | undefined;
  private draining: Promise<void> | undefined;
  private closing: Promise<void> | undefined;
  private stopped: Promise<void> | undefined;

  constructor(
    engine: Engine,
    config: ServerConfig,
    onDrainRequested: (() => void) | undefined,
    logger: ServerLogger,
  ) {
    const bodies = new BodyBudget(config.limits);
    const refusals = new SchemaRefusals();
    const onError = (error: ServingError): void => refusals.take(error);
    const keys = new Keys(config.keys);
    this.limits = new Limits(config.usage, (error) => {
      logger.error({ err: error }, "what keys have used can't be written");
    });
    const limits = this.limits;
    const gate = new Gate(engine, keys, limits);
    const sessions = new Sessions(keys);
    const now = (): number => performance.now();
    const resumes = new Resumes();
    const onResume = (transport: "sse" | "websocket"): void => resumes.take(transport);
    this.context = { engine: gate, keys, bodies, config, logger, onError, onResume, now };
    this.hosts = new HostPolicy(config.host, config.allowedHosts, config.allowedOrigins);
    this.app = createApp({
      ...{ config, logger, sessions, keys, limits, hosts: this.hosts, bodies, onError },
    });
    const tickets = new Tickets(config.limits);
    this.sockets = new WebSockets(this.context, {
      checkHost: (request) => this.hosts.check(request),
      identify: ({ headers, socket }, ticket) =>
        ticket === undefined
          ? sessions.identify(headers, socket.remoteAddress ?? "")
          : redeemed(tickets, keys, ticket),
    });
    config.keys.onChange(() => this.sockets.keysChanged());
    const keyUse = new KeyUse(keys, limits);
    const { telemetry } = config;
    this.metrics = new Metrics(engine, this.sockets, { refusals, keyUse, resumes, telemetry });
    this.feed = new LiveFeed({
      engine,
      samples: () => this.history.samples,
      writeBufferBytesMax: config.limits.writeBufferBytesMax,
      viewersMax: config.limits.viewersMax,
      now: () => performance.now(),
    });
    this.history = new History(
      engine,
      {
        latencies: () => this.metrics.latencies(),
        now: () => performance.now(),
        wall: Date.now,
      },
      (sample) => this.feed.sampled(sample),
    );
    if (config.wsEchoPort !== undefined) this.echo = new Echo(config.limits);
    const drain = onDrainRequested ?? (() => this.drainInBackground());
    addRoutes(this.app, this.context, {
      ...{ sessions, keys, tickets, keyUse, drain },
      metrics: this.metrics,
      feed: this.feed,
      console: new ConsoleAssets(),
      docs: new DocsSite(config.docsFolder),
    });
    this.sockets.listen(this.app.server);
    engine.onDraining((graceMs) => this.sockets.drain(graceMs));
  }

  async listen(): Promise<ServerAddress> {
    const { host, port, wsEchoPort } = this.context.config;
    this.app.server.once("listening", () => this.bound());
    await this.app.listen({ host, port, listenTextResolver: () => "" });
    if (this.echo !== undefined) this.echoPort = await this.echo.listen(host, wsEchoPort!);
    return this.address!;
  }

  drain(timeoutMs = this.context.config.drainTimeoutMs): Promise<void> {
    this.draining ??= this.drainAndClose(timeoutMs);
    return this.draining;
  }

  close(): Promise<void> {
    this.closing ??= this.closeAll();
    return this.closing;
  }

  /** Known before the first request is taken. */
  private bound(): void {
    const { port } = this.app.server.address() as AddressInfo;
    const { host } = this.context.config;
    this.hosts.bound(port);
    const shown = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
    const name = shown.includes(":") ? `[${shown}]` : shown;
    this.address = { host, port, url: `http://${name}:${port}` };
  }

  private async drainAndClose(timeoutMs: number): Promise<void> {
    await this.context.engine.drain(timeoutMs);
    this.feed.close();
    // The last events are in the logs, but not yet with their readers.
    await within(flushGraceMs, [this.stopListening(), this.sockets.whenEmpty()]);
    await this.close();
  }

  private drainInBackground(): void {
    this.drain().catch((error: unknown) => {
      this.context.logger.error({ err: error }, "draining failed");
    });
  }

  private async closeAll(): Promise<void> {
    this.sockets.close();
    this.feed.close();
    this.history.close();
    this.metrics.close();
    const stopped = this.stopListening();
    this.app.server.closeAllConnections();
    await within(closeGraceMs, [this.sockets.whenEmpty()]);
    this.sockets.terminate();
    await stopped;
    await this.limits.close();
    await this.echo?.close();
  }

  /** Resolves when the last connection has ended. */
  private stopListening(): Promise<void> {
    this.stopped ??= this.app.close();
    return this.stopped;
  }
}

/** Its key may have gone since. */
function redeemed(tickets: Tickets, keys: Keys, ticket: string): Asker {
  const asker = tickets.redeem(ticket);
  keys.check(asker.owner);
  return asker;
}

async function within(timeoutMs: number, tasks: readonly Promise<void>[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([Promise.all(tasks), timeout]);
  clearTimeout(timer);
}
