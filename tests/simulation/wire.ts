/**
 * A WebSocket connection between a client and a server: delays, bytes in pieces, slow readers, cuts.
 * Server to client it carries real frames; what a client says arrives as whole messages.
 */
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import type { Socket, SocketHandlers } from "../../src-ts/client/socket.js";
import type { Session } from "../../src-ts/server/websocket/session.js";
import type { Random } from "./random.js";
import type { SimServer } from "./server.js";
import type { Timeline } from "./timeline.js";

export interface WireWorld {
  timeline: Timeline;
  random: Random;
  trace(what: string): void;
  readonly isTraced: boolean;
  wires: Set<Wire>;
}

interface Chunk {
  bytes: Buffer;
  onSent: (() => void) | undefined;
}

const open = 1;
const closing = 2;
const latencyMsMax = 15;

export class Wire implements Socket {
  private session: Session | undefined;
  private server: SimServer | undefined;
  private readonly toClient: Chunk[] = [];
  private pumping = false;
  /** The client takes nothing for now. */
  private paused = false;
  private pendingBytes = 0;
  /** Nothing that is sent from now on arrives. */
  private isCut = false;
  private clientClosed = false;
  private serverClosed = false;
  private closeWord: { code: number; reason: string } | undefined;
  private unparsed: Buffer = Buffer.alloc(0);
  private clientBusyUntil = 0;
  private readonly serverSide = { readyState: open, OPEN: open };

  constructor(
    private readonly world: WireWorld,
    private readonly handlers: SocketHandlers,
    findServer: () => SimServer | undefined,
  ) {
    world.wires.add(this);
    this.later(this.latency(), () => this.connect(findServer()));
  }

  // The client's side.

  send(text: string): void {
    if (this.clientClosed || this.isCut) return;
    if (this.world.isTraced) this.world.trace(`→ ${brief(text)}`);
    const at = Math.max(this.clientBusyUntil, this.world.timeline.now + this.latency());
    this.clientBusyUntil = at;
    this.later(at - this.world.timeline.now, () => {
      if (this.serverClosed || this.server?.owner.alive !== true) return;
      this.session?.receive(Buffer.from(text), false);
    });
  }

  close(code: number, reason: string): void {
    this.later(this.latency(), () => {
      this.goneFromServer();
      this.later(this.latency(), () => this.goneFromClient(code, reason));
    });
  }

  terminate(): void {
    this.cut();
  }

  // What the world does to it.

  /** Both sides find out, each when it does. */
  cut(): void {
    this.isCut = true;
    this.toClient.length = 0;
    this.closeWord = undefined;
    this.later(this.world.random.between(0, 40), () => this.goneFromClient(1006, ""));
    const silence = this.world.random.chance(0.3) ? 4_000 : 40;
    this.later(this.world.random.between(0, silence), () => this.goneFromServer());
  }

  pause(ms: number): void {
    this.paused = true;
    this.later(ms, () => {
      this.paused = false;
      this.pump();
    });
  }

  // The server's side.

  private connect(server: SimServer | undefined): void {
    if (this.clientClosed) return;
    if (server === undefined || !server.isListening) {
      this.handlers.onError(new Error("ECONNREFUSED"));
      this.goneFromClient(1006, "");
      return;
    }
    if (server.isDraining) {
      const error = { message: "draining", type: "overloaded_error", code: "server_draining" };
      const body = JSON.stringify({ error: { ...error, param: null } });
      this.handlers.onRefused({ status: 503, body, retryAfterS: 1 });
      this.goneFromClient(1006, "");
      return;
    }
    this.server = server;
    this.session = server.open(this.webSocket(), this.duplex(), this);
    this.later(this.latency(), () => {
      if (!this.clientClosed) this.handlers.onOpen();
    });
  }

  /** The server's process is gone: the kernel closes its sockets. */
  serverDied(): void {
    this.serverClosed = true;
    this.later(this.latency(), () => this.goneFromClient(1006, ""));
  }

  private webSocket(): WebSocket {
    const side = this.serverSide;
    return Object.assign(side, {
      close: (code: number, reason: string) => {
        side.readyState = closing;
        this.closeWord = { code, reason };
        this.pump();
      },
      terminate: () => this.cut(),
      ping: () => {},
      pong: () => {},
    }) as unknown as WebSocket;
  }

  private duplex(): Duplex {
    const wire = this;
    return {
      get writableLength() {
        return wire.pendingBytes;
      },
      write(bytes: Buffer, onSent?: () => void) {
        if (wire.serverClosed || wire.isCut) return false;
        wire.pendingBytes += bytes.length;
        wire.toClient.push({ bytes, onSent });
        wire.pump();
        return true;
      },
    } as unknown as Duplex;
  }

  private pump(): void {
    if (this.pumping || this.paused || this.clientClosed) return;
    const chunk = this.toClient.shift();
    if (chunk === undefined) return this.sayClose();
    this.pumping = true;
    this.later(this.latency(), () => {
      this.pumping = false;
      this.pendingBytes -= chunk.bytes.length;
      // Of what was on its way a part may still arrive.
      const bytes = this.isCut ? this.world.random.int(0, chunk.bytes.length) : chunk.bytes.length;
      this.deliver(chunk.bytes.subarray(0, bytes));
      if (this.server?.owner.alive === true && !this.serverClosed) chunk.onSent?.();
      this.pump();
    });
  }

  private sayClose(): void {
    const word = this.closeWord;
    if (word === undefined) return;
    this.later(this.latency(), () => {
      this.goneFromClient(word.code, word.reason);
      this.later(this.latency(), () => this.goneFromServer());
    });
  }

  private deliver(bytes: Buffer): void {
    this.unparsed = this.unparsed.length === 0 ? bytes : Buffer.concat([this.unparsed, bytes]);
    for (;;) {
      const frame = frameOf(this.unparsed);
      if (frame === undefined || this.clientClosed) return;
      this.unparsed = this.unparsed.subarray(frame.bytes);
      if (this.world.isTraced) this.world.trace(`← ${brief(frame.text)}`);
      this.handlers.onText(frame.text);
    }
  }

  private goneFromClient(code: number, reason: string): void {
    if (this.clientClosed) return;
    this.clientClosed = true;
    this.world.trace(`client sees its socket close: ${code} ${reason}`);
    this.handlers.onClose(code, reason);
    this.forgetWhenGone();
  }

  private goneFromServer(): void {
    if (this.serverClosed) return;
    this.serverClosed = true;
    this.world.trace("the server sees a socket close");
    if (this.server?.owner.alive === true) {
      this.session?.dispose();
      this.server.closed(this);
    }
    this.forgetWhenGone();
  }

  private forgetWhenGone(): void {
    if (this.clientClosed && (this.serverClosed || this.server === undefined))
      this.world.wires.delete(this);
  }

  private latency(): number {
    return this.world.random.between(0.1, latencyMsMax);
  }

  private later(ms: number, run: () => void): void {
    this.world.timeline.after(ms, run);
  }
}

/** A message in a line: what it is, whose, its number and what is new in it. */
function brief(text: string): string {
  let message: Record<string, unknown>;
  try {
    message = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return text;
  }
  const { type, stream_id, sequence_number, response, error, ...rest } = message;
  const { id, status } = (response ?? {}) as { id?: string; status?: string };
  const { code } = (error ?? {}) as { code?: string };
  const { input, delta, response_id, starting_after } = rest;
  const known = { lane: stream_id, number: sequence_number, id: id ?? response_id, status, code };
  const words = Object.entries({ ...known, input, delta, after: starting_after });
  return `${type} ${words
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(" ")}`;
}

/** The first whole text frame; undefined if there is none yet. */
function frameOf(data: Buffer): { text: string; bytes: number } | undefined {
  if (data.length < 2) return undefined;
  const short = data[1]!;
  const header = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (data.length < header) return undefined;
  const length =
    short < 126 ? short : short === 126 ? data.readUInt16BE(2) : Number(data.readBigUInt64BE(2));
  const bytes = header + length;
  return data.length < bytes ? undefined : { text: data.toString("utf8", header, bytes), bytes };
}
