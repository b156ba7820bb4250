/**
 * A connection that comes back: one socket after another to the same server. Owns when another one is
 * tried, for how long, and when it is over for good. It knows no response; the client puts its streams
 * on every socket that opens.
 */
import { backoffMs, isFinalClose, isFinalRefusal, retryAfterMs } from "./backoff.js";
import {
  type Address,
  type Connection,
  type ConnectionOptions,
  connectTimeoutMsDefault,
  dial,
} from "./connection.js";
import { type ClientError, type CloseInfo, ConnectionLostError } from "./errors.js";
import type { ClientPorts, Timer } from "./ports.js";

export interface ReconnectOptions {
  /** How long after a loss a new connection is tried for, in ms. Default 60,000; Infinity: for ever. */
  timeoutMs?: number | undefined;
}

export interface LinkOptions extends ConnectionOptions {
  /** What to do when the connection is lost; false: nothing. Default: reconnect. */
  reconnect?: ReconnectOptions | false | undefined;
}

/** A new connection will be tried. */
export interface ReconnectingInfo {
  /** Counts from 1 in each outage. */
  attempt: number;
  /** Until the attempt, in ms. */
  delayMs: number;
  /** Why the connection was lost, or why the attempt before has failed. */
  cause: ClientError;
}

/** There is a connection again. */
export interface ReconnectedInfo {
  /** It took so many attempts. */
  attempts: number;
  /** Since the loss, in ms. */
  downMs: number;
}

export interface LinkHandlers {
  onMessage(message: Record<string, unknown>): void;
  onGarbage(error: ClientError): void;
  /** A socket is open, the first or another. */
  onOpen(): void;
  /** The socket has gone, and others will be tried until `until`. */
  onLost(error: ConnectionLostError, until: number): void;
  onReconnecting(info: ReconnectingInfo): void;
  /** After `onOpen`, for every socket but the first. */
  onReconnected(info: ReconnectedInfo): void;
  /** No socket will open any more. The last call, once; not if the first one never opened. */
  onGone(info: CloseInfo, error: ConnectionLostError): void;
}

type State =
  | { kind: "idle" }
  | { kind: "dialing"; connection: Connection }
  | { kind: "open"; connection: Connection; openedAt: number }
  | { kind: "waiting"; timer: Timer }
  | { kind: "gone" };

/** From a loss until a connection has proved itself. */
interface Outage {
  lostAt: number;
  until: number;
  attempts: number;
  info: CloseInfo;
}

/** As a platform reports a socket that ended without a word. */
const abnormalClosure = 1006;
const reconnectTimeoutMsDefault = 60_000;
/** A connection that held so long, or brought something new, has proved itself. */
const provenAfterMs = 5_000;

export class Link {
  #state: State = { kind: "idle" };
  #outage: Outage | undefined;
  #retired = false;
  /** Says why a socket will have closed, if the server told before. */
  #lastError: ClientError | undefined;
  /** Of the socket that may speak; the words of others are stale. */
  #epoch = 0;
  readonly #ports: ClientPorts;
  readonly #url: Address;
  readonly #options: LinkOptions;
  readonly #handlers: LinkHandlers;

  constructor(ports: ClientPorts, url: Address, options: LinkOptions, handlers: LinkHandlers) {
    this.#ports = ports;
    this.#url = url;
    this.#options = options;
    this.#handlers = handlers;
  }

  /** Opens the first socket; rejects if that fails. */
  open(): Promise<void> {
    return new Promise((resolve, reject) => this.#dial(this.#options, resolve, reject));
  }

  get isOpen(): boolean {
    return this.#state.kind === "open";
  }

  /** When it gives up, while there is no connection that has proved itself. */
  get until(): number | undefined {
    return this.#outage?.until;
  }

  /** Does nothing while no socket is open. */
  send(message: object): void {
    if (this.#state.kind === "open") this.#state.connection.send(message);
  }

  /** The server said what is wrong; the socket may close for it. */
  noteError(error: ClientError): void {
    this.#lastError = error;
  }

  /** This connection has brought something new: the outage is over, the next one is another. */
  proven(): void {
    this.#outage = undefined;
  }

  /** Takes the open socket for lost, whatever it says; does nothing where there is none, or no other may follow. */
  renew(): void {
    if (this.#state.kind !== "open" || this.#retired) return;
    const { connection } = this.#state;
    this.#epoch += 1;
    connection.abandon();
    this.#onClose({ closeCode: abnormalClosure, reason: "" }, undefined);
  }

  /** Opens no other socket. Ends at once if none is open. */
  retire(): void {
    this.#retired = true;
    const state = this.#state;
    if (state.kind === "waiting") state.timer.cancel();
    else if (state.kind === "dialing") state.connection.abandon();
    else return;
    this.#end(this.#lost(undefined));
  }

  /** Closing handshake; resolves when the socket is closed, at the latest after `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    this.#retired = true;
    if (this.#state.kind === "open") await this.#state.connection.close(timeoutMs);
  }

  #dial(
    options: ConnectionOptions,
    onOpen: () => void,
    onFailed: (error: ClientError) => void,
  ): void {
    const epoch = ++this.#epoch;
    const isStale = () => epoch !== this.#epoch;
    const connection = dial(this.#ports, this.#url, options, {
      onOpen: () => {
        if (isStale()) return;
        this.#opened(connection);
        onOpen();
      },
      onFailed: (error) => isStale() || onFailed(error),
      onMessage: (message) => isStale() || this.#handlers.onMessage(message),
      onGarbage: (error) => isStale() || this.#handlers.onGarbage(error),
      onClose: (info, cause) => isStale() || this.#onClose(info, cause),
    });
    this.#state = { kind: "dialing", connection };
  }

  #opened(connection: Connection): void {
    this.#state = { kind: "open", connection, openedAt: this.#ports.now() };
    this.#lastError = undefined;
    this.#handlers.onOpen();
  }

  #onClose(info: CloseInfo, cause: unknown): void {
    const error = new ConnectionLostError(info, cause ?? this.#lastError);
    this.#beginOutage(info);
    if (this.#isFinal(info)) {
      this.#end(error);
      return;
    }
    this.#state = { kind: "idle" };
    this.#handlers.onLost(error, this.#outage!.until);
    this.#wait(error);
  }

  #isFinal({ closeCode }: CloseInfo): boolean {
    return this.#retired || this.#options.reconnect === false || isFinalClose(closeCode);
  }

  /** A connection that never proved itself was part of the outage before. */
  #beginOutage(info: CloseInfo): void {
    const now = this.#ports.now();
    const state = this.#state;
    const hasHeld = state.kind === "open" && now - state.openedAt >= provenAfterMs;
    if (this.#outage !== undefined && !hasHeld) {
      this.#outage.info = info;
      return;
    }
    const { reconnect } = this.#options;
    const { timeoutMs = reconnectTimeoutMsDefault } = reconnect === false ? {} : (reconnect ?? {});
    this.#outage = { lostAt: now, until: now + timeoutMs, attempts: 0, info };
  }

  #wait(cause: ClientError): void {
    const outage = this.#outage!;
    const leftMs = outage.until - this.#ports.now();
    if (leftMs <= 0) {
      this.#end(this.#lost(cause));
      return;
    }
    outage.attempts += 1;
    const wishedMs = retryAfterMs(cause) + backoffMs(outage.attempts, this.#ports.random);
    const delayMs = Math.min(leftMs, wishedMs);
    this.#state = {
      kind: "waiting",
      timer: this.#ports.after(delayMs, () => this.#redial(cause)),
    };
    this.#handlers.onReconnecting({ attempt: outage.attempts, delayMs, cause });
  }

  #redial(cause: ClientError): void {
    const outage = this.#outage!;
    const leftMs = outage.until - this.#ports.now();
    if (leftMs <= 0) {
      this.#end(this.#lost(cause));
      return;
    }
    const { connectTimeoutMs = connectTimeoutMsDefault } = this.#options;
    // The caller's signal was for the first connection.
    const timeoutMs = Math.min(connectTimeoutMs, leftMs);
    const options = { ...this.#options, signal: undefined, connectTimeoutMs: timeoutMs };
    this.#dial(options, () => this.#onReopened(outage), this.#onRedialFailed);
  }

  #onReopened({ attempts, lostAt }: Outage): void {
    this.#handlers.onReconnected({ attempts, downMs: this.#ports.now() - lostAt });
  }

  readonly #onRedialFailed = (error: ClientError): void => {
    if (isFinalRefusal(error)) this.#end(this.#lost(error));
    else this.#wait(error);
  };

  #lost(cause: ClientError | undefined): ConnectionLostError {
    const { info, attempts } = this.#outage!;
    return new ConnectionLostError(info, cause, attempts);
  }

  #end(error: ConnectionLostError): void {
    this.#state = { kind: "gone" };
    this.#epoch += 1;
    this.#handlers.onGone(this.#outage!.info, error);
  }
}
