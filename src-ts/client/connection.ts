/**
 * One socket from its opening to its close: address, handshake, frames to JSON and back. It knows no
 * response and no stream; the client puts them on top, and may put them on the next connection.
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
import type { Refusal, Socket, SocketHandlers } from "./socket.js";

/** How to reach a server. */
export interface ConnectionOptions {
  /** Sent as `Authorization: Bearer`. Not in browsers: they can't send headers, use `ticket` there. */
  apiKey?: string | undefined;
  /** One-time ticket from `POST /v1/ws-tickets`. */
  ticket?: string | undefined;
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

export interface ConnectionHandlers {
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
}

const connectTimeoutMsDefault = 10_000;
const frameBytesMaxDefault = 64 * 1024 * 1024;

/** An address as text or as a `URL`, which is not named here: not every program has its type. */
export type Address = string | { readonly href: string };

/** `ws://host`, `http://host/v1` and the full address are all fine: the path ends up as `/v1/responses`. */
export function responsesUrl(url: Address, options: ConnectionOptions): string {
  let result: URL;
  try {
    result = new URL(typeof url === "string" ? url : url.href);
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
  if (options.notices !== false) result.searchParams.set("events", "mlx_serving");
  if (options.ticket !== undefined) result.searchParams.set("ticket", options.ticket);
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

function refusalError({ status, body }: Refusal): ConnectError {
  const { code, message, param } = errorBodyOf(body);
  return new ConnectError(message ?? `The server refused the upgrade with status ${status}`, {
    code: code ?? "handshake_refused",
    status,
    param,
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

/**
 * Opens a socket. Rejects with ConnectError, or AbortedError when the signal was faster; throws
 * nothing. Handlers are called only after it has resolved.
 */
export async function openConnection(
  ports: ClientPorts,
  url: Address,
  options: ConnectionOptions,
  handlers: ConnectionHandlers,
): Promise<Connection> {
  const address = responsesUrl(url, options);
  const headers = upgradeHeaders(ports, options);
  if (options.signal?.aborted) throw new AbortedError(options.signal.reason);
  return new SocketConnection(ports, address, headers, options, handlers).opened;
}

class SocketConnection implements Connection, SocketHandlers {
  readonly opened: Promise<Connection>;
  #settle!: { resolve(connection: Connection): void; reject(error: ClientError): void };
  #isOpen = false;
  /** What the socket complained of last: why it closed, most likely. */
  #cause: unknown;
  readonly #closed: Promise<void>;
  #reportClosed!: () => void;
  readonly #socket: Socket;
  readonly #signal: AbortSignal | undefined;
  readonly #timer: Timer;
  readonly #ports: ClientPorts;
  readonly #handlers: ConnectionHandlers;

  constructor(
    ports: ClientPorts,
    address: string,
    headers: Record<string, string>,
    options: ConnectionOptions,
    handlers: ConnectionHandlers,
  ) {
    const { connectTimeoutMs = connectTimeoutMsDefault } = options;
    const { frameBytesMax = frameBytesMaxDefault } = options;
    this.#ports = ports;
    this.#handlers = handlers;
    this.#signal = options.signal;
    this.opened = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.#closed = new Promise((resolve) => {
      this.#reportClosed = resolve;
    });
    this.#socket = ports.openSocket(address, { headers, frameBytesMax }, this);
    this.#signal?.addEventListener("abort", this.#onAbort);
    this.#timer = ports.after(connectTimeoutMs, () => {
      const message = `No connection within ${connectTimeoutMs} ms`;
      this.#giveUp(new ConnectError(message, { code: "connect_timeout" }));
    });
  }

  send(message: object): void {
    this.#socket.send(JSON.stringify(message));
  }

  async close(timeoutMs: number): Promise<void> {
    this.#socket.close(1000, "");
    const timer = this.#ports.after(timeoutMs, () => this.#socket.terminate());
    await this.#closed;
    timer.cancel();
  }

  onOpen(): void {
    this.#isOpen = true;
    this.#stopWaiting();
    this.#settle.resolve(this);
  }

  onText(text: string): void {
    const message = parseFrame(text);
    if (message instanceof ProtocolError) this.#handlers.onGarbage(message);
    else this.#handlers.onMessage(message);
  }

  onBinary(): void {
    this.#handlers.onGarbage(new ProtocolError("The server sent a binary frame"));
  }

  onRefused(refusal: Refusal): void {
    this.#stopWaiting();
    this.#settle.reject(refusalError(refusal));
  }

  onError(error: unknown): void {
    this.#cause = error;
  }

  onClose(closeCode: number, reason: string): void {
    this.#stopWaiting();
    this.#reportClosed();
    if (this.#isOpen) this.#handlers.onClose({ closeCode, reason }, this.#cause);
    else this.#settle.reject(neverOpened(this.#cause));
  }

  readonly #onAbort = () => this.#giveUp(new AbortedError(this.#signal?.reason));

  #giveUp(error: ClientError): void {
    this.#stopWaiting();
    this.#settle.reject(error);
    this.#socket.terminate();
  }

  #stopWaiting(): void {
    this.#timer.cancel();
    this.#signal?.removeEventListener("abort", this.#onAbort);
  }
}

function neverOpened(cause: unknown): ConnectError {
  const why = cause instanceof Error && cause.message !== "" ? `: ${cause.message}` : "";
  return new ConnectError(`No connection${why}`, { code: "connection_refused", cause });
}
