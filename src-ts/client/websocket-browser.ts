/** Sockets of the platform: browsers, and runtimes that have a global `WebSocket`. */
import type { OpenSocket } from "./socket.js";

export const headersSupported = false;

export const openSocket: OpenSocket = (url, _options, handlers) => {
  const socket = new WebSocket(url);
  socket.onopen = () => handlers.onOpen();
  socket.onmessage = ({ data }: { data: unknown }) => {
    if (typeof data === "string") handlers.onText(data);
    else handlers.onBinary();
  };
  socket.onerror = () => handlers.onError(new Error("The WebSocket reported an error"));
  socket.onclose = ({ code, reason }) => handlers.onClose(code, reason);
  return {
    send: (text) => socket.send(text),
    // Browsers allow nothing but 1000 and 3000 to 4999 here.
    close: (closeCode, reason) =>
      socket.close(closeCode === 1000 || closeCode >= 3000 ? closeCode : 1000, reason),
    terminate: () => socket.close(),
  };
};
