/**
 * The WebSocket side of GET /v1/responses: checks before the 101, keeps every session, pings them all
 * from one timer, and closes them. What is said on a socket is `session.ts`'s.
 */
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { type RawData, type ServerOptions, type WebSocket, WebSocketServer } from "ws";
import { failure } from "../../failures.js";
import { closeCodes } from "../../protocol/events.js";
import type { Asker } from "../access/keys.js";
import type { ServerContext } from "../context.js";
import { toServingError } from "../errors.js";
import { originOf, requestIdOf } from "../http/request-headers.js";
import type { ServerLimits } from "../options.js";
import { Session } from "./session.js";
import {
  checkHandshake,
  checkTarget,
  ignore,
  isHandshake,
  refuseUpgrade,
  serveWithoutUpgrade,
  speaksBeta,
} from "./upgrade.js";

/** Who may come in. */
export interface Admission {
  /** Host and Origin, as for every other request. */
  checkHost(request: IncomingMessage): void;
  /** By the ticket if there is one, else by the key. */
  identify(request: IncomingMessage, ticket: string | undefined): Asker;
}

/** Exactly the options that the echo of the conformance suites uses too. */
export function socketOptions(limits: ServerLimits): ServerOptions {
  return {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: limits.frameBytesMax,
    maxFragments: limits.fragmentsMax,
    maxBufferedChunks: limits.bufferedChunksMax,
    // Pongs are ours to send: `ws` would queue one for every ping of a client that reads nothing.
    autoPong: false,
  } as ServerOptions;
}

const session = Symbol("session");
type OwnSocket = WebSocket & { [session]: Session };
type OwnStream = Duplex & { [session]: Session };

/** Sockets are pinged in so many groups, one after another, so that no moment pings all. */
const pingGroups = 20;

export class WebSockets {
  private readonly wss: WebSocketServer;
  private readonly groups: Set<Session>[] = Array.from({ length: pingGroups }, () => new Set());
  private readonly timer: NodeJS.Timeout;
  private count = 0;
  private nextGroup = 0;
  private opened = 0;
  private onEmpty: (() => void)[] = [];
  private drainingMs: number | undefined;
  /** The same functions for all sockets: a socket costs no closure of its own. */
  private readonly handlers: SocketHandlers;

  constructor(
    private readonly context: ServerContext,
    private readonly admission: Admission,
  ) {
    const { limits } = context.config;
    this.wss = new WebSocketServer(socketOptions(limits));
    this.wss.on("headers", (headers, request) => {
      headers.push(`x-request-id: ${requestIdOf(request.headers)}`);
    });
    this.handlers = handlersOf(this);
    this.timer = setInterval(() => this.pingGroup(), limits.pingIntervalMs / pingGroups);
    this.timer.unref();
  }

  /** Open sockets. */
  get size(): number {
    return this.count;
  }

  listen(server: Server): void {
    server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (!isHandshake(request)) return serveWithoutUpgrade(server, request, socket, head);
      // Until `ws` has it, nobody else listens for a client that just goes.
      socket.on("error", ignore);
      try {
        this.admission.checkHost(request);
        const { wantsNotices, ticket } = checkTarget(request, this.context.config.strict);
        const identity = this.admission.identify(request, ticket);
        checkHandshake(request);
        this.checkCapacity();
        this.upgrade(request, socket, head, { identity, wantsNotices });
      } catch (error) {
        const requestId = requestIdOf(request.headers);
        // What is made up here is told to the client, too.
        request.headers["x-request-id"] = requestId;
        const known = toServingError(error, (fault) => {
          this.context.logger.error({ err: fault, requestId }, "upgrade failed");
        });
        refuseUpgrade(request, socket, known);
      }
    });
  }

  /** Tells everybody; each closes with 1012 when its responses have ended. */
  drain(graceMs: number): void {
    this.drainingMs = graceMs;
    for (const one of this.all()) one.drain(graceMs);
  }

  /** Closes all, whatever runs on them. */
  close(): void {
    clearInterval(this.timer);
    for (const one of [...this.all()]) one.close(closeCodes.restart, "server is closing");
  }

  /** Drops what has not answered the closing handshake. */
  terminate(): void {
    for (const one of [...this.all()]) one.start.ws.terminate();
  }

  /** Resolves when the last socket has closed. */
  whenEmpty(): Promise<void> {
    if (this.count === 0) return Promise.resolve();
    return new Promise((resolve) => this.onEmpty.push(resolve));
  }

  /** Keys came, changed or went. */
  keysChanged(): void {
    for (const one of [...this.all()]) one.checkKey();
  }

  /** @internal */
  received(one: Session, data: RawData, isBinary: boolean): void {
    try {
      one.receive(data, isBinary);
    } catch (error) {
      one.onFault(error);
    }
  }

  /** @internal What is refused is read no further: the closing handshake alone could keep its rest. */
  arrived(one: Session): void {
    if (one.arrived()) return;
    const { socket } = one.start;
    socket.removeAllListeners("data");
    socket.on("data", ignore);
  }

  /** @internal */
  pinged(one: Session, data: Buffer): void {
    const { clientPingsPerIntervalMax, writeBufferBytesMax } = this.context.config.limits;
    one.arrivedControl(data.length);
    if (++one.clientPings > clientPingsPerIntervalMax)
      one.close(closeCodes.policy, "too many pings");
    else if (one.bufferedBytes < writeBufferBytesMax) one.start.ws.pong(data);
  }

  /** @internal */
  failed(one: Session, error: Error): void {
    const { requestId } = one.start;
    this.context.logger.debug({ requestId, reason: error.message }, "socket error");
  }

  /** @internal */
  closed(one: Session): void {
    for (const group of this.groups) if (group.delete(one)) this.count--;
    one.gone();
    if (this.count === 0) for (const resolve of this.onEmpty.splice(0)) resolve();
  }

  private *all(): Generator<Session> {
    for (const group of this.groups) yield* group;
  }

  private checkCapacity(): void {
    const { socketsMax } = this.context.config.limits;
    if (this.drainingMs !== undefined) throw failure("server_draining");
    if (this.count >= socketsMax) throw failure("too_many_sockets", { sockets: socketsMax });
  }

  private upgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    { identity, wantsNotices }: { identity: Asker; wantsNotices: boolean },
  ): void {
    const requestId = requestIdOf(request.headers);
    // The 101 repeats this header, so a made-up id has to be the same one.
    request.headers["x-request-id"] = requestId;
    // `ws` knows no list of wishes.
    request.headers.upgrade = "websocket";
    this.wss.handleUpgrade(request, socket, head, (ws) => {
      socket.off("error", ignore);
      const origin = originOf(requestId, request.headers);
      const start = { ws, socket, identity, requestId, origin, wantsNotices };
      const one = new Session(this.context, {
        ...start,
        speaksBeta: speaksBeta(request),
      });
      (ws as OwnSocket)[session] = one;
      (socket as OwnStream)[session] = one;
      // Before `ws` looks at it: a message that the chunk completes has arrived then.
      socket.prependListener("data", this.handlers.data);
      // And after: whether the rest may go on arriving is known once messages have taken what is theirs.
      socket.on("data", this.handlers.dataRead);
      this.groups[this.opened++ % pingGroups]!.add(one);
      this.count++;
      ws.on("message", this.handlers.message);
      ws.on("ping", this.handlers.ping);
      ws.on("pong", this.handlers.pong);
      ws.on("error", this.handlers.error);
      ws.on("close", this.handlers.close);
    });
  }

  private pingGroup(): void {
    const group = this.groups[this.nextGroup]!;
    this.nextGroup = (this.nextGroup + 1) % pingGroups;
    for (const one of group) {
      const { ws } = one.start;
      one.clientPings = 0;
      // It may have expired.
      one.checkKey();
      if (one.missedPings >= this.context.config.limits.missedPingsMax) ws.terminate();
      else {
        one.missedPings++;
        if (ws.readyState !== ws.OPEN) continue;
        ws.ping();
        one.keepAlive();
      }
    }
  }
}

interface SocketHandlers {
  data(this: Duplex, chunk: Buffer): void;
  dataRead(this: Duplex): void;
  message(this: WebSocket, data: RawData, isBinary: boolean): void;
  ping(this: WebSocket, data: Buffer): void;
  pong(this: WebSocket, data: Buffer): void;
  error(this: WebSocket, error: Error): void;
  close(this: WebSocket): void;
}

function handlersOf(sockets: WebSockets): SocketHandlers {
  const of = (ws: WebSocket) => (ws as OwnSocket)[session];
  return {
    data(chunk) {
      (this as OwnStream)[session].arriving(chunk.length);
    },
    dataRead() {
      sockets.arrived((this as OwnStream)[session]);
    },
    message(data, isBinary) {
      sockets.received(of(this), data, isBinary);
    },
    ping(data) {
      sockets.pinged(of(this), data);
    },
    pong(data) {
      const one = of(this);
      one.missedPings = 0;
      one.arrivedControl(data.length);
    },
    error(error) {
      sockets.failed(of(this), error);
    },
    close() {
      sockets.closed(of(this));
    },
  };
}
