/** What a server is told from outside, and every limit of it with its default. */
import type { Logger } from "pino";
import { fixedKeys, type KeySource } from "../keys/entry.js";
import type { UsageStore } from "../keys/usage-file.js";
import * as bounds from "../protocol/limits.js";

/** Bounds that an operator or a test may move; units stand in the names. */
export interface ServerLimits {
  bodyBytesMax: number;
  jsonDepthMax: number;
  jsonValuesMax: number;
  bodiesBytesMax: number;
  bodiesBytesPerClientMax: number;
  headerBytesMax: number;
  headersTimeoutMs: number;
  requestTimeoutMs: number;
  keepAliveTimeoutMs: number;
  connectionsMax: number;
  sseKeepAliveMs: number;
  sseStalledTicksMax: number;
  viewersMax: number;
  ticketLifeMs: number;
  ticketsPerClientMax: number;
  ticketsMax: number;
  frameBytesMax: number;
  fragmentsMax: number;
  bufferedChunksMax: number;
  socketsMax: number;
  lanesPerSocketMax: number;
  queuedPerLaneMax: number;
  requestsPerSocketMax: number;
  rememberedResponsesMax: number;
  rememberedBytesMax: number;
  badMessagesMax: number;
  clientPingsPerIntervalMax: number;
  pingIntervalMs: number;
  missedPingsMax: number;
  writeBufferBytesMax: number;
  controlBufferBytesMax: number;
  lagEntriesMax: number;
}

export const defaultLimits: Readonly<ServerLimits> = {
  bodyBytesMax: bounds.bodyBytesMax,
  jsonDepthMax: bounds.jsonDepthMax,
  jsonValuesMax: bounds.jsonValuesMax,
  bodiesBytesMax: bounds.bodiesBytesMax,
  bodiesBytesPerClientMax: bounds.bodiesBytesPerClientMax,
  headerBytesMax: bounds.headerBytesMax,
  headersTimeoutMs: bounds.headersTimeoutMs,
  requestTimeoutMs: bounds.requestTimeoutMs,
  keepAliveTimeoutMs: bounds.keepAliveTimeoutMs,
  connectionsMax: bounds.connectionsMax,
  sseKeepAliveMs: bounds.sseKeepAliveMs,
  sseStalledTicksMax: bounds.sseStalledTicksMax,
  viewersMax: bounds.viewersMax,
  ticketLifeMs: bounds.ticketLifeMs,
  ticketsPerClientMax: bounds.ticketsPerClientMax,
  ticketsMax: bounds.ticketsMax,
  frameBytesMax: bounds.frameBytesMax,
  fragmentsMax: bounds.fragmentsMax,
  bufferedChunksMax: bounds.bufferedChunksMax,
  socketsMax: bounds.socketsMax,
  lanesPerSocketMax: bounds.lanesPerSocketMax,
  queuedPerLaneMax: bounds.queuedPerLaneMax,
  requestsPerSocketMax: bounds.requestsPerSocketMax,
  rememberedResponsesMax: bounds.rememberedResponsesMax,
  rememberedBytesMax: bounds.rememberedBytesMax,
  badMessagesMax: bounds.badMessagesMax,
  clientPingsPerIntervalMax: bounds.clientPingsPerIntervalMax,
  pingIntervalMs: bounds.pingIntervalMs,
  missedPingsMax: bounds.missedPingsMax,
  writeBufferBytesMax: bounds.writeBufferBytesMax,
  controlBufferBytesMax: bounds.controlBufferBytesMax,
  lagEntriesMax: bounds.lagEntriesMax,
};

/** What has become of telemetry since the start. */
export interface TelemetryFigures {
  readonly spansExported: number;
  /** For which there was no room, or that could not be sent. */
  readonly spansDropped: number;
  /** Sendings that failed. */
  readonly failures: { readonly traces: number; readonly metrics: number };
}

export interface ServerOptions {
  /** Default 127.0.0.1. */
  host?: string | undefined;
  /** 0: any free one. Default 8088. */
  port?: number | undefined;
  /** Hashed at once and not kept; none: no key is asked for. */
  apiKeys?: readonly string[] | undefined;
  /** In place of `apiKeys`: keys with names and limits, which may change. */
  keys?: KeySource | undefined;
  /** Where what keys have used survives the server. Default: nowhere. */
  usage?: UsageStore | undefined;
  /** Names, with or without a port, under which clients may call, besides loopback and `host`. */
  allowedHosts?: readonly string[] | undefined;
  /** Web origins (`https://example.org`) that may call, besides the server's own. */
  allowedOrigins?: readonly string[] | undefined;
  /** How long an unstored response goes on without its reader, in ms. Default 30,000. */
  resumeGraceMs?: number | undefined;
  /** How long `POST /admin/drain` lets responses run, in ms. Default 30,000. */
  drainTimeoutMs?: number | undefined;
  /** Hints and unknown fields are refused instead of ignored. Default false. */
  strict?: boolean | undefined;
  /** Of Anthropic's API: what agents write into every request that no prefix outlives. Default strip. */
  agentNoise?: "strip" | "keep" | undefined;
  /** Of Anthropic's API: a message of the system's between turns that a template refuses. Default user. */
  lateSystem?: "user" | "refuse" | undefined;
  limits?: Partial<ServerLimits> | undefined;
  /** Tests only: a WebSocket echo with this server's socket options on this port (0: any). */
  wsEchoPort?: number | undefined;
  /** For `/metrics`. Default: telemetry is off. */
  telemetry?: TelemetryFigures | undefined;
  /** Where the documentation was built; default: in the package. */
  docsFolder?: string | undefined;
  /** Called by `POST /admin/drain` in place of `drain`: whoever owns the process ends it then. */
  onDrainRequested?: (() => void) | undefined;
}

/** The same with every default in place. */
export interface ServerConfig {
  host: string;
  port: number;
  keys: KeySource;
  usage: UsageStore | undefined;
  allowedHosts: readonly string[];
  allowedOrigins: readonly string[];
  resumeGraceMs: number;
  drainTimeoutMs: number;
  strict: boolean;
  agentNoise: "strip" | "keep";
  lateSystem: "user" | "refuse";
  limits: ServerLimits;
  wsEchoPort: number | undefined;
  telemetry: TelemetryFigures | undefined;
  docsFolder: string | undefined;
}

export function resolveOptions(options: ServerOptions): ServerConfig {
  return {
    host: options.host ?? "127.0.0.1",
    port: options.port ?? 8088,
    keys: options.keys ?? fixedKeys(options.apiKeys ?? []),
    usage: options.usage,
    allowedHosts: options.allowedHosts ?? [],
    allowedOrigins: options.allowedOrigins ?? [],
    resumeGraceMs: options.resumeGraceMs ?? 30_000,
    drainTimeoutMs: options.drainTimeoutMs ?? 30_000,
    strict: options.strict ?? false,
    agentNoise: options.agentNoise ?? "strip",
    lateSystem: options.lateSystem ?? "user",
    limits: { ...defaultLimits, ...options.limits },
    wsEchoPort: options.wsEchoPort,
    telemetry: options.telemetry,
    docsFolder: options.docsFolder,
  };
}

/** The part of pino's interface that the server uses. */
export type ServerLogger = Pick<Logger, "debug" | "info" | "warn" | "error">;
