/**
 * What comes before the 101: which requests are WebSocket handshakes, what a handshake must say, and the
 * answer in place of the 101. Knows no socket that is open.
 */
import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import { errorHeaders } from "../errors.js";
import { requestIdOf } from "../http/request-headers.js";
import { shown } from "../validation/shown.js";

/** A GET that asks for `websocket`, perhaps among other protocols. */
export function isHandshake({ method, headers }: IncomingMessage): boolean {
  return method === "GET" && tokensOf(headers.upgrade).includes("websocket");
}

function tokensOf(list: string | undefined): string[] {
  return (list ?? "").split(",").map((token) => token.trim().toLowerCase());
}

const hopHeaders = new Set(["connection", "upgrade", "http2-settings"]);

/**
 * Whoever asks for another protocol (Java's client asks for `h2c` with every request) is served as if it
 * had not asked: RFC 9110, 7.8. The request is read once more, without its wish.
 */
export function serveWithoutUpgrade(
  server: Server,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  const { method, url, httpVersion, rawHeaders } = request;
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!;
    if (!hopHeaders.has(name.toLowerCase())) lines.push(`${name}: ${rawHeaders[at + 1]}`);
  }
  if (tokensOf(request.headers.connection).includes("close")) lines.push("connection: close");
  const again = Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  socket.on("error", ignore);
  whenAnswered(socket as Socket, () => {
    // Node adds these with every reading, and takes them back with none.
    for (const event of ["timeout", "resume", "pause"]) socket.removeAllListeners(event);
    socket.off("error", ignore);
    (socket as Socket).setTimeout(0);
    socket.unshift(Buffer.concat([again, head]));
    server.emit("connection", socket);
  });
}

/**
 * Requests before this one on the same connection come first. `_httpMessage` is Node's own name for the
 * answer that a socket is taken by.
 */
function whenAnswered(socket: Socket & { _httpMessage?: ServerResponse | null }, run: () => void) {
  if (socket.destroyed) return;
  if (socket._httpMessage == null) run();
  else socket._httpMessage.once("close", () => setImmediate(whenAnswered, socket, run));
}

export function ignore(): void {}

export interface UpgradeQuery {
  wantsNotices: boolean;
  ticket: string | undefined;
}

/** With the slashes too many that the other routes take as well. */
const socketPath = /^\/+v1\/+responses\/*$/;

/** Path and query. Throws 404 and 400; `strict`: also for parameters that nobody here knows. */
export function checkTarget(request: IncomingMessage, strict: boolean): UpgradeQuery {
  const target = request.url ?? "/";
  const [path] = target.split("?", 1);
  if (!socketPath.test(path!))
    throw failure("unknown_route", { message: "WebSockets are at /v1/responses." });
  return queryOf(new URLSearchParams(target.slice(path!.length)), strict);
}

const parameters = ["ticket", "events"];

/** What we know is given once, and a ticket is never repeated; clients send more (a model, a version). */
function queryOf(query: URLSearchParams, strict: boolean): UpgradeQuery {
  const unknown = [...query.keys()].find((name) => !parameters.includes(name));
  if (strict && unknown !== undefined)
    throw failure("unknown_parameter", { param: shown(unknown) });
  for (const name of parameters)
    if (query.getAll(name).length > 1) throw wrong(`${name} may be given once.`, name);
  const events = query.get("events");
  if (events !== null && events !== "mlx_serving")
    throw wrong("events must be mlx_serving.", "events");
  return { wantsNotices: events !== null, ticket: query.get("ticket") ?? undefined };
}

const versions = ["13", "8"];
const keyPattern = /^[+/0-9A-Za-z]{22}==$/;

/** Throws 426 for a WebSocket that isn't spoken here: such clients go on over HTTP. */
export function checkHandshake({ headers }: IncomingMessage): void {
  if (!versions.includes(headers["sec-websocket-version"] ?? ""))
    throw notSpoken("This server speaks version 13 of WebSocket.");
  if (headers["sec-websocket-protocol"] !== undefined)
    throw notSpoken("This server speaks no subprotocol: ask without Sec-WebSocket-Protocol.");
  if (!keyPattern.test(headers["sec-websocket-key"] ?? ""))
    throw wrong("Sec-WebSocket-Key must be 16 bytes in base64.", null);
}

/** As Codex does: see `SessionStart`. */
export function speaksBeta({ headers }: IncomingMessage): boolean {
  const beta = headers["openai-beta"];
  return tokensOf(String(beta ?? "")).some((token) => token.startsWith("responses_websockets"));
}

function notSpoken(message: string): ServingError {
  return failure("upgrade_required", { message });
}

function wrong(message: string, param: string | null): ServingError {
  return failure("invalid_upgrade", { message, param });
}

/** An HTTP answer in place of the 101. */
export function refuseUpgrade(request: IncomingMessage, socket: Duplex, error: ServingError): void {
  const body = JSON.stringify({ error: error.toBody() });
  const headers = {
    ...errorHeaders(error),
    ...(error.status === 426 && { upgrade: "websocket", "sec-websocket-version": versions[0] }),
    "content-length": String(Buffer.byteLength(body)),
    "x-request-id": requestIdOf(request.headers),
    connection: error.status === 426 ? "upgrade, close" : "close",
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const status = `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? ""}`;
  socket.once("finish", () => socket.destroy());
  socket.end(`${[status, ...lines].join("\r\n")}\r\n\r\n${body}`);
}
