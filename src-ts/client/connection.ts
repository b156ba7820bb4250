/**
 * One socket from its opening to its close: address, ticket, handshake, frames to JSON and back. It
 * knows no response, and nothing of the sockets before and after it: those are `link.ts`'s.
 */
import type { ErrorBody } from "../protocol/index.js";
import {
  AbortedError,
  type ClientError,
  type CloseInfo,
  ConnectError,
  ProtocolError,
} from "./errors.js";
import type { ClientPorts, Timer } from "./ports.js";
import { Silence, silenceMsMax } from "./silence.js";
import type { Refusal, Socket, SocketHandlers } from "./socket.js";

/** How to reach a server. */
export interface ConnectionOptions {
  /** Sent as `Authorization: Bearer`. Not in browsers: they can't send headers, use `ticket` there. */
  apiKey?: string | undefined;
  /**
   * One-time ticket from `POST /v1/ws-tickets`, or a function that gets one: a ticket is good for one
   * connection, so only with a function can a lost one be opened again.
   */
  ticket?: string | (() => Promise<string>) | undefined;
  /** More headers for the upgrade request. Not in browsers. */
  headers?: Record<string, string> | undefined;
  /** Gives up connecting; after that it does nothing. */
  signal?: AbortSignal | undefined;
  /** Default 10,000. */
  connectTimeoutMs?: number | undefined;
  /** Largest frame taken from the server, in bytes. Default 64 MiB. Browsers have no such limit. */
  frameBytesMax?: number | undefined;
  /**
   * Ask for notices (`?events=mlx_serving`): what `client.on("migrated" | "draining")` reports.
   * Default true; false for servers that speak nothing but the OpenAI protocol.
   */
  notices?: boolean | undefined;
}

/** What is told of a connection, never before `dial` has returned: either it fails, or it opens and closes. */
export interface ConnectionHandlers {
  onOpen(): void;
  /** It never opened: ConnectError, or AbortedError when the signal was faster. */
  onFailed(error: ClientError): void;
  /** Each JSON object that arrives. */
  onMessage(message: Record<string, unknown>): void;
  /** A frame that is no JSON object; the connection is still open. */
  onGarbage(error: ProtocolError): void;
  /** Called once, after the connection was open and is no more. */
  onClose(info: CloseInfo, cause: unknown): void;
}

export interface Connection {
  send(message: object): void;
  /** Closing handshake; resolves when the socket is closed, at the latest after `timeoutMs`. */
  close(timeoutMs: number): Promise<void>;
  /** Gives up opening it; nothing is told any more. */
  abandon(): void;
}

export const connectTimeoutMsDefault = 10_000;
const frameBytesMaxDefault = 64 * 1024 * 1024;

/** An address as text or as a `URL`, which is not named here: not every program has its type. */
export type Address = string | { readonly href: string };

/** `example.org:8088`, `[::1]:8088`: no scheme. A colon is followed by a port, so `ftp:…` is none. */
const hostAlone = /^[^\s/?#@:[\]]+(:\d{1,5})?([/?#]|$)|^\[[\da-f:.]+\](:\d{1,5})?([/?#]|$)/i;

/**
 * `ws://host`, `http://host/v1`, `host:port` and the full address are all fine: the path ends up as
 * `/v1/responses`. A host without a scheme is `ws:`.
 */
export function responsesUrl(
  url: Address,
  { notices, ticket }: { notices?: boolean | undefined; ticket?: string | undefined },
): string {
  let result: URL;
  try {
    const text = typeof url === "string" ? url.trim() : url.href;
    result = new URL(hostAlone.test(text) ? `ws://${text}` : text);
  } catch (cause) {
    throw new ConnectError(`Not a URL: ${String(url)}`, { code: "invalid_url", cause });
  }
  const secure = result.protocol === "wss:" || result.protocol === "https:";
  if (!secure && result.protocol !== "ws:" && result.protocol !== "http:") {
    const message = `The URL's protocol is ${result.protocol}, not ws:, wss:, http: or https:`;
    throw new ConnectError(message, { code: "invalid_url" });
  }
  result.protocol = secure ? "wss:" : "ws:";
  const path = result.pathname.replace(/\/+$/, "");
  if (!path.endsWith("/responses")) {
    result.pathname = path.endsWith("/v1") ? `${path}/responses` : `${path}/v1/responses`;
  }
  result.hash = "";
  if (notices !== false) result.searchParams.set("events", "mlx_serving");
  if (ticket !== undefined) result.searchParams.set("ticket", ticket);
  return result.href;
}

function upgradeHeaders(
  { headersSupported }: ClientPorts,
  { apiKey, headers }: ConnectionOptions,
): Record<string, string> {
  const all = { ...headers };
  if (apiKey !== undefined) all.Authorization = `Bearer ${apiKey}`;
  if (!headersSupported && Object.keys(all).length > 0) {
    throw new ConnectError("This platform's WebSocket sends no headers: use a ticket, not a key", {
      code: "headers_unsupported",
    });
  }
  return all;
}

function errorBodyOf(body: string): Partial<ErrorBody> {
  try {
    const parsed: unknown = JSON.parse(body);
    const error = (parsed as { error?: unknown } | null)?.error;
    return typeof error === "object" && error !== null ? error : {};
  } catch {
    // Whoever refused, a proxy perhaps, did not answer in JSON; the status says enough.
    return {};
  }
}

function refusalError({ status, body, retryAfterS }: Refusal): ConnectError {
  const { code, message, param } = errorBodyOf(body);
  return new ConnectError(message ?? `The server refused the upgrade with status ${status}`, {
    code: code ?? "handshake_refused",
    status,
    param,
    retryAfterMs: retryAfterS === undefined ? undefined : retryAfterS * 1000,
  });
}

function parseFrame(text: string): Record<string, unknown> | ProtocolError {
  try {
    const message: unknown = JSON.parse(text);
    if (typeof message === "object" && message !== null) return message as Record<string, unknown>;
    return new ProtocolError("The server sent a frame that is no JSON object");
  } catch (cause) {
    return new ProtocolError("The server sent a frame that is no JSON", cause);
  }
}

/** Opens a socket. Throws ConnectError for an address or a platform that can't work at all. */
export function dial(
  ports: ClientPorts,
  url: Address,
  options: ConnectionOptions,
  handlers: ConnectionHandlers,
): Connection {
  const headers = upgradeHeaders(ports, options);
  responsesUrl(url, { notices: options.notices });
  if (options.signal?.aborted) throw new AbortedError(options.signal.reason);
  return new SocketConnection(ports, { url, headers, options, handlers });
}

interface Dialled {
  url: Address;
  headers: Record<string, string>;
  options: ConnectionOptions;
  handlers: ConnectionHandlers;
}

class SocketConnection implements Connection, SocketHandlers {
  #state: "opening" | "open" | "over" = "opening";
  /** What the socket complained of last: why it closed, most likely. */
  #cause: unknown;
  readonly #closed: Promise<void>;
  #reportClosed!: () => void;
  /** Not before the ticket is there. */
  #socket: Socket | undefined;
  readonly #timer: Timer;
  readonly #silence: Silence;
  readonly #ports: ClientPorts;
  readonly #dialled: Dialled;

  constructor(ports: ClientPorts, dialled: Dialled) {
    this.#ports = ports;
    this.#dialled = dialled;
    this.#closed = new Promise((resolve) => {
      this.#reportClosed = resolve;
    });
    this.#silence = new Silence(ports, () => this.#die());
    const { ticket, signal, connectTimeoutMs = connectTimeoutMsDefault } = dialled.options;
    this.#timer = ports.after(connectTimeoutMs, () => {
      const message = `No connection within ${connectTimeoutMs} ms`;
      this.#fail(new ConnectError(message, { code: "connect_timeout" }));
    });
    signal?.addEventListener("abort", this.#onAbort);
    if (typeof ticket === "function") void this.#openWith(ticket);
    else this.#open(ticket);
  }

  send(message: object): void {
    this.#socket?.send(encoded(message));
  }

  async close(timeoutMs: number): Promise<void> {
    this.#socket?.close(1000, "");
    const timer = this.#ports.after(timeoutMs, () => this.#socket?.terminate());
    await this.#closed;
    timer.cancel();
  }

  abandon(): void {
    this.#state = "over";
    this.#stopWaiting();
    this.#socket?.terminate();
  }

  onOpen(): void {
    if (this.#state !== "opening") return;
    this.#state = "open";
    this.#stopWaiting();
    this.#dialled.handlers.onOpen();
  }

  onPing(): void {
    // Other servers have other habits.
    if (this.#dialled.options.notices !== false) this.#silence.pinged();
  }

  onText(text: string): void {
    this.#silence.heard();
    const message = parseFrame(text);
    if (message instanceof ProtocolError) this.#dialled.handlers.onGarbage(message);
    else this.#dialled.handlers.onMessage(message);
  }

  onBinary(): void {
    this.#dialled.handlers.onGarbage(new ProtocolError("The server sent a binary frame"));
  }

  onRefused(refusal: Refusal): void {
    this.#fail(refusalError(refusal));
  }

  onError(error: unknown): void {
    this.#cause = error;
  }

  onClose(closeCode: number, reason: string): void {
    this.#silence.stop();
    this.#reportClosed();
    if (this.#state === "opening") this.#fail(neverOpened(this.#cause));
    if (this.#state !== "open") return;
    this.#state = "over";
    this.#dialled.handlers.onClose({ closeCode, reason }, this.#cause);
  }

  #die(): void {
    this.#cause = new Error(`The server has been silent for ${silenceMsMax} ms`);
    this.#socket?.terminate();
  }

  async #openWith(getTicket: () => Promise<string>): Promise<void> {
    try {
      const ticket = await getTicket();
      if (this.#state === "opening") this.#open(ticket);
    } catch (cause) {
      this.#fail(new ConnectError("There was no ticket to be had", { code: "no_ticket", cause }));
    }
  }

  #open(ticket: string | undefined): void {
    const { url, headers, options } = this.#dialled;
    const { notices, frameBytesMax = frameBytesMaxDefault } = options;
    const address = responsesUrl(url, { notices, ticket });
    this.#socket = this.#ports.openSocket(address, { headers, frameBytesMax }, this);
  }

  readonly #onAbort = () => this.#fail(new AbortedError(this.#dialled.options.signal?.reason));

  /** Once, and only while it is opening. */
  #fail(error: ClientError): void {
    if (this.#state !== "opening") return;
    this.abandon();
    this.#dialled.handlers.onFailed(error);
  }

  #stopWaiting(): void {
    this.#timer.cancel();
    this.#dialled.options.signal?.removeEventListener("abort", this.#onAbort);
  }
}

function neverOpened(cause: unknown): ConnectError {
  const why = cause instanceof Error && cause.message !== "" ? `: ${cause.message}` : "";
  return new ConnectError(`No connection${why}`, { code: "connection_refused", cause });
}

/** JSON has integers of any size, and JSON.stringify no bigints. */
function encoded(message: object): string {
  const { seed, ...rest } = message as { seed?: unknown };
  if (typeof seed !== "bigint") return JSON.stringify(message);
  return `{"seed":${seed},${JSON.stringify(rest).slice(1)}`;
}
