/**
 * The few things the client needs of a WebSocket. `#websocket` resolves to one of two files that
 * offer it: `websocket-node.ts` (on `ws`) or `websocket-browser.ts` (on the global `WebSocket`).
 */

export interface SocketOptions {
  /** Extra headers of the upgrade request. Browsers can't send any. */
  headers: Record<string, string>;
  /** Largest frame that is taken, in bytes, where the platform can limit it. */
  frameBytesMax: number;
}

/** Why an upgrade was refused, where the platform tells. */
export interface Refusal {
  status: number;
  body: string;
  /** `Retry-After`, in seconds. */
  retryAfterS?: number | undefined;
}

/**
 * What a socket reports, never before it was returned. `onClose` is the last call, and comes exactly
 * once, opened or not.
 */
export interface SocketHandlers {
  onOpen(): void;
  onText(text: string): void;
  onBinary(): void;
  /** Where the platform shows them. The answer is the platform's, too. */
  onPing(): void;
  onRefused(refusal: Refusal): void;
  onError(error: unknown): void;
  onClose(closeCode: number, reason: string): void;
}

export interface Socket {
  send(text: string): void;
  /** Starts the closing handshake. */
  close(closeCode: number, reason: string): void;
  /** Drops the connection, or begins to close where the platform can't. */
  terminate(): void;
}

export type OpenSocket = (url: string, options: SocketOptions, handlers: SocketHandlers) => Socket;
