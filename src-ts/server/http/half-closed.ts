/**
 * Clients that have ended their side of the connection. One may still read (`shutdown(SHUT_WR)`) and gets
 * its answer; another has gone, and its request is to end. TCP tells the two apart only when something is
 * sent: who has gone answers with a reset. So what can be sent before the answer is known is sent then:
 * the bytes that every answer begins with, one at a time; an event stream sends a comment.
 */
import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** Of an answer that has begun: who knows how sends something that means nothing. */
export const probeEvent = "mlx-serving:probe";

const beginning = "HTTP/1.1 ";

/** After the end of the client's side, in ms: what the first one brings about, the second one meets. */
const probesAtMs = [0, 10, 50, 250, 1_000, 4_000, 15_000, 60_000];

export function serveHalfClosed(server: Server): void {
  // Known to Node for long, and not to its types: without it the answer would be cut off.
  (server as Server & { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true;
  /** In the order in which they came, which is that of their answers. */
  const unanswered = new WeakMap<Socket, ServerResponse[]>();
  server.on("connection", (socket: Socket) => {
    // Told again of a socket whose request asked for another protocol.
    if (unanswered.has(socket)) return;
    unanswered.set(socket, []);
    socket.once("end", () => probe(socket, unanswered.get(socket)?.[0]));
  });
  server.on("request", ({ socket }, response: ServerResponse) => {
    const pending = unanswered.get(socket) ?? [];
    unanswered.set(socket, [...pending, response]);
    response.once("close", () => {
      const left = (unanswered.get(socket) ?? []).filter((one) => one !== response);
      unanswered.set(socket, left);
      if (socket.readableEnded) probe(socket, left[0]);
    });
  });
}

function probe(socket: Socket, response: ServerResponse | undefined): void {
  if (response === undefined || socket.destroyed) return;
  const head = new EarlyHead(socket);
  const timers = probesAtMs.map((ms) =>
    setTimeout(() => {
      if (response.headersSent) response.emit(probeEvent);
      else head.sendOne();
    }, ms).unref(),
  );
  response.once("close", () => {
    for (const timer of timers) clearTimeout(timer);
  });
}

/** The first bytes of an answer that is not known yet; the answer then goes without them. */
class EarlyHead {
  private sent = 0;
  private readonly write: Socket["write"];

  constructor(private readonly socket: Socket) {
    this.write = socket.write;
  }

  sendOne(): void {
    const byte = beginning[this.sent];
    if (byte === undefined) return;
    if (this.sent === 0) this.shortenNext();
    this.sent++;
    this.write.call(this.socket, byte);
  }

  private shortenNext(): void {
    const { socket, write } = this;
    const shortened = (chunk: string | Uint8Array, ...rest: []): boolean => {
      socket.write = write;
      return write.call(socket, chunk.slice(this.sent), ...rest);
    };
    socket.write = shortened as Socket["write"];
  }
}
