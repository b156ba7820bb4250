/**
 * What goes out on one socket: the frames of its responses, and what is no event of one (errors, notices).
 * Owns what is said; when, and that a client which doesn't read is closed, is the session's.
 */
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import { failure } from "../../failures.js";
import type { DrainingNotice, ErrorEvent, KeepAliveNotice } from "../../protocol/events.js";
import type { ServerContext } from "../context.js";
import { toServingError } from "../errors.js";
import type { Sink } from "../streams/writer.js";
import { encodeTextFrames } from "./frames.js";
import type { Correlation } from "./message.js";

export interface OutgoingSocket {
  ws: WebSocket;
  /** Below `ws`: many frames go out in one write. */
  socket: Duplex;
  requestId: string;
}

export class Outgoing implements Sink {
  /** Of the last event of a response. */
  lastNumber = -1;

  constructor(
    private readonly context: ServerContext,
    private readonly start: OutgoingSocket,
    /** The client provokes messages and doesn't read them. */
    private readonly onFlooded: () => void,
    /** Called after whatever is sent: who has come to wait for room by then is to be told. */
    private readonly onSent: () => void,
  ) {}

  get bufferedBytes(): number {
    return this.start.socket.writableLength;
  }

  write(texts: readonly string[], onSent?: () => void): void {
    const { ws, socket } = this.start;
    if (ws.readyState === ws.OPEN) socket.write(encodeTextFrames(texts), onSent);
  }

  /** What is no event of a response. */
  sendText(text: string): void {
    if (this.bufferedBytes > this.context.config.limits.controlBufferBytesMax) this.onFlooded();
    else this.write([text], this.onSent);
  }

  sendError(error: unknown, correlation: Correlation): void {
    const known = toServingError(error, (fault) => {
      this.context.logger.error({ err: fault, requestId: this.start.requestId }, "message failed");
    });
    this.context.onError?.(known);
    const event: ErrorEvent = {
      type: "error",
      status: known.status,
      error: known.toBody(),
      ...correlation,
    };
    this.sendText(JSON.stringify(event));
  }

  /** Whatever is buffered: the socket is closed after it. */
  writeTooSlow(): void {
    const error = failure("consumer_too_slow");
    const event: ErrorEvent = { type: "error", status: error.status, error: error.toBody() };
    this.write([JSON.stringify(event)]);
  }

  sendKeepAlive(): void {
    const notice: KeepAliveNotice = {
      type: "mlx_serving:keep_alive",
      sequence_number: this.lastNumber,
    };
    this.sendText(JSON.stringify(notice));
  }

  sendDraining(graceMs: number): void {
    const notice: DrainingNotice = {
      type: "mlx_serving:server.draining",
      grace_ms: graceMs,
      sequence_number: this.lastNumber,
    };
    this.sendText(JSON.stringify(notice));
  }
}
