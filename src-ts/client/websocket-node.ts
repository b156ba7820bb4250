/** Sockets by `ws`: Node, which can send headers and tells why an upgrade was refused. */
import type { IncomingMessage } from "node:http";
import { type RawData, WebSocket } from "ws";
import type { OpenSocket, SocketHandlers } from "./socket.js";

export const headersSupported = true;

const refusalBodyBytesMax = 64 * 1024;

/** Servers may also name a date; then this client's own pace will do. */
function secondsOf(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) : undefined;
}

/** What `ws` found wrong with a frame; its `close` event says 1006 all the same. */
const violations: Readonly<Record<string, number>> = {
  WS_ERR_INVALID_UTF8: 1007,
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 1009,
};

function reportRefusal(answer: IncomingMessage, handlers: SocketHandlers): void {
  let body = "";
  answer.setEncoding("utf8");
  answer.on("data", (chunk: string) => {
    if (body.length < refusalBodyBytesMax) body += chunk;
  });
  // Emitted once, however the answer ends; an answer cut short is refusal enough.
  answer.on("error", () => {});
  answer.on("close", () => {
    const retryAfterS = secondsOf(answer.headers["retry-after"]);
    handlers.onRefused({ status: answer.statusCode ?? 0, body, retryAfterS });
    handlers.onClose(1006, "");
  });
}

export const openSocket: OpenSocket = (url, { headers, frameBytesMax }, handlers) => {
  const socket = new WebSocket(url, {
    headers,
    maxPayload: frameBytesMax,
    perMessageDeflate: false,
    // Frames of one read are handed on in one turn: far cheaper when many streams share a socket.
    allowSynchronousEvents: true,
  });
  let refused = false;
  let violation: number | undefined;
  socket.on("unexpected-response", (_request, answer) => {
    refused = true;
    reportRefusal(answer, handlers);
  });
  socket.on("open", () => handlers.onOpen());
  socket.on("message", (data: RawData, isBinary: boolean) => {
    if (isBinary) handlers.onBinary();
    else handlers.onText(data.toString());
  });
  socket.on("ping", () => handlers.onPing());
  socket.on("error", (error: NodeJS.ErrnoException) => {
    violation = violations[error.code ?? ""];
    handlers.onError(error);
  });
  socket.on("close", (closeCode, reason) => {
    if (!refused) handlers.onClose(violation ?? closeCode, reason.toString());
  });
  return {
    send: (text) => socket.send(text),
    close: (closeCode, reason) => socket.close(closeCode, reason),
    terminate: () => socket.terminate(),
  };
};
