/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The WebSocket client: many responses at once on one connection. Joins the streams to the link that
 * carries them, and tells its caller what is no stream's. The order of streams is `lanes.ts`'s, when and
 * how long to reconnect `link.ts`'s.
 */
import type {
  DrainingNotice,
  ErrorEvent,
  MigratedNotice,
  ResponseStreamEvent,
} from "../protocol/index.js";
import type { Channel } from "./channel.js";
import type { Address } from "./connection.js";
import {
  AbortedError,
  ClientClosedError,
  type ClientError,
  type CloseInfo,
  type ConnectionLostError,
  ProtocolError,
  RequestError,
} from "./errors.js";
import { Exchange, isLateCancel, type Order } from "./exchange.js";
import type { Format, ParsedOf } from "./formats.js";
import { Lanes } from "./lanes.js";
import { Link, type LinkOptions, type ReconnectedInfo, type ReconnectingInfo } from "./link.js";
import { platformPorts } from "./platform.js";
import type { ClientPorts, Timer } from "./ports.js";
import { type RespondOptions, type ResponseRequest, wireBody } from "./requests.js";
import { Run, type RunOptions, type RunRequest } from "./run.js";
import { ResponseStream } from "./stream.js";

export interface ConnectOptions extends LinkOptions {
  /** Events that a stream keeps for a slow reader before it fails. Default 8,192. */
  bufferedEventsMax?: number | undefined;
  /** How long `close` waits for the server to confirm cancellations, in ms. Default 5,000. */
  closeTimeoutMs?: number | undefined;
}

export interface ResumeOptions {
  /** Replay what comes after this number, then follow. Default −1: from the start. */
  startingAfter?: number | undefined;
  /** Cancels the response on the server, as that of `respond` does. */
  signal?: AbortSignal | undefined;
  lane?: string | undefined;
}

/** What `client.on` listens to. */
export interface ClientEvents {
  /** A response goes on with another worker. */
  migrated: MigratedNotice;
  /** The server will close within `grace_ms`. */
  draining: DrainingNotice;
  /** An error that belongs to no stream of this client; the connection is still open. */
  error: ClientError;
  /** The connection was lost, and is tried again after `delayMs`. */
  reconnecting: ReconnectingInfo;
  /** It is back, and every stream goes on. */
  reconnected: ReconnectedInfo;
  /** The connection is closed for good: by `close()`, or it was lost. What the last socket said. */
  close: CloseInfo;
}

type Listeners = { [K in keyof ClientEvents]: Set<(event: ClientEvents[K]) => void> };

const bufferedEventsMaxDefault = 8192;
const closeTimeoutMsDefault = 5000;

/** Opens a connection. Rejects with ConnectError, or AbortError when `options.signal` was faster. */
export function connect(url: Address, options: ConnectOptions = {}): Promise<Client> {
  return connectWith(platformPorts, url, options);
}

/** `connect` with sockets, time and chance of one's own. */
export async function connectWith(
  ports: ClientPorts,
  url: Address,
  options: ConnectOptions = {},
): Promise<Client> {
  const client = new Client(ports, url, options);
  await client[open]();
  return client;
}

const open = Symbol("open");

/** A connection to a server; `connect` makes one. */
export class Client {
  readonly #listeners: Listeners = {
    migrated: new Set(),
    draining: new Set(),
    error: new Set(),
    reconnecting: new Set(),
    reconnected: new Set(),
    close: new Set(),
  };
  readonly #ports: ClientPorts;
  readonly #options: ConnectOptions;
  readonly #lanes: Lanes;
  readonly #link: Link;
  /** Why nothing can be sent any more. */
  #gone: ClientError | undefined;
  #closing: Promise<void> | undefined;
  /** Cancellations by id that wait for a socket. */
  readonly #cancels = new Set<string>();
  #count = 0;

  /** @internal */
  constructor(ports: ClientPorts, url: Address, options: ConnectOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#lanes = new Lanes(ports);
    this.#link = new Link(ports, url, options, {
      onMessage: (message) => this.#onMessage(message),
      onGarbage: (error) => this.#emit("error", error),
      onOpen: () => this.#onOpen(),
      onLost: (error, until) => this.#lanes.lost(error, until),
      onReconnecting: (info) => this.#emit("reconnecting", info),
      onReconnected: (info) => this.#emit("reconnected", info),
      onGone: (info, error) => this.#onGone(info, error),
    });
  }

  /** @internal */
  [open](): Promise<void> {
    return this.#link.open();
  }

  /**
   * Asks for a response. A refusal, a closed client, a lost connection don't throw here: they reject
   * the stream's iteration and `final()`. Throws DefinitionError where a tool or a format is wrong: nothing
   * was sent then.
   *
   * @example
   * const stream = client.respond({ input: "Why is the sky blue?" });
   * for await (const event of stream) {
   *   if (event.type === "response.output_text.delta") process.stdout.write(event.delta);
   * }
   * const { text, usage } = await stream.final();
   */
  respond<const F extends Format = undefined>(
    body: ResponseRequest<F>,
    options: RespondOptions = {},
  ): ResponseStream<ParsedOf<F>> {
    const { deadlineMs, priority, idempotencyKey = this.#ownKey() } = options;
    const extensions = {
      ...(priority !== undefined && { "mlx_serving:priority": priority }),
      ...(idempotencyKey !== undefined && { "mlx_serving:idempotency_key": idempotencyKey }),
    };
    const order: Order = {
      kind: "create",
      body: { ...wireBody(body), ...extensions },
      deadlineMs,
      orderedAt: this.#ports.now(),
      isRepeatable: idempotencyKey !== undefined,
    };
    return new ResponseStream(this.#start(order, options), body.text?.format);
  }

  /**
   * Asks, runs the tools that the model calls, and asks again with their outputs, until it answers. Throws
   * DefinitionError where a tool, a format or a limit is wrong: nothing was sent then.
   *
   * @example
   * const { text } = await client.run({
   *   input: "What is the weather in Oslo?",
   *   tools: [
   *     {
   *       name: "weather",
   *       parameters: z.object({ city: z.string() }),
   *       execute: ({ city }) => forecast(city),
   *     },
   *   ],
   * }).final();
   */
  run<const P extends readonly unknown[], const F extends Format = undefined>(
    body: RunRequest<P, F>,
    options: RunOptions = {},
  ): Run<ParsedOf<F>> {
    const { bufferedEventsMax = bufferedEventsMaxDefault } = this.#options;
    const ask = (turn: ResponseRequest, asked: RespondOptions) => this.respond(turn, asked);
    const host = { ask, after: this.#ports.after, bufferedEventsMax };
    return new Run(host, body as unknown as RunRequest, options);
  }

  /**
   * Follows a response that is running or stored, on this or an earlier connection: replays the
   * events after `startingAfter`, then goes on. Refusals reject the stream: 404 for an unknown or
   * expired response, 400 for a number that it doesn't have yet.
   */
  resume(responseId: string, options: ResumeOptions = {}): ResponseStream<null> {
    const { startingAfter = -1 } = options;
    return new ResponseStream(this.#start({ kind: "resume", responseId, startingAfter }, options));
  }

  /**
   * Orders a cancellation, or will once there is a connection. Its outcome is the terminal event of
   * whoever follows the response; an unknown id is reported to `on("error")`. Does nothing once the
   * connection is gone for good.
   */
  cancel(responseId: string): void {
    if (this.#gone !== undefined || this.#lanes.cancel(responseId)) return;
    if (this.#link.isOpen) this.#sendCancel(responseId);
    else this.#cancels.add(responseId);
  }

  /** Listens to notices of the server and of the connection; returns the way to stop. */
  on<K extends keyof ClientEvents>(
    name: K,
    listener: (event: ClientEvents[K]) => void,
  ): () => void {
    this.#listeners[name].add(listener);
    return () => {
      this.#listeners[name].delete(listener);
    };
  }

  /**
   * There is an open connection now. False while a lost one is tried again, when streams only wait, and
   * after `close` or the end of trying, when they fail: `on("close")` tells the one from the other.
   */
  get connected(): boolean {
    return this.#link.isOpen && this.#gone === undefined;
  }

  /**
   * Gives the connection up as lost and opens another one, on which streams go on where they were. For a page whose
   * machine has slept: a browser may not notice for long that its socket is dead. Does nothing while there is no
   * connection, since another one is tried then, or with `reconnect: false`.
   */
  reconnect(): void {
    if (this.#options.reconnect !== false && this.#gone === undefined) this.#link.renew();
  }

  /**
   * Cancels what runs, waits until the server has confirmed it, and closes the connection. Without a
   * connection it ends at once, and tells the server nothing.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** The same as `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    if (this.#gone !== undefined) return;
    const { closeTimeoutMs = closeTimeoutMsDefault } = this.#options;
    this.#gone = new ClientClosedError();
    this.#lanes.cancelAll(() => new ClientClosedError());
    this.#link.retire();
    const { now } = this.#ports;
    const startedAt = now();
    await this.#within(closeTimeoutMs, this.#lanes.idle());
    await this.#link.close(Math.max(0, closeTimeoutMs - (now() - startedAt)));
  }

  async #within(timeoutMs: number, task: Promise<void>): Promise<void> {
    let timer: Timer | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = this.#ports.after(timeoutMs, resolve);
    });
    await Promise.race([task, timeout]);
    timer?.cancel();
  }

  #start(
    order: Order,
    { signal, lane }: { signal?: AbortSignal | undefined; lane?: string | undefined },
  ): Channel {
    const { bufferedEventsMax = bufferedEventsMaxDefault } = this.#options;
    const exchange = new Exchange({
      order,
      lane: lane ?? `stream_${++this.#count}`,
      eventId: `event_${++this.#count}`,
      bufferedEventsMax,
      ports: this.#ports,
      send: (message) => this.#link.send(message),
    });
    const { channel } = exchange;
    if (this.#gone !== undefined) channel.fail(this.#gone);
    else if (signal?.aborted) channel.fail(new AbortedError(signal.reason));
    else {
      if (!this.#link.isOpen) exchange.recoverUntil(this.#link.until ?? this.#ports.now());
      this.#lanes.add(exchange);
      if (signal !== undefined) abortWith(signal, channel);
    }
    return channel;
  }

  /** 128 random bits. Servers that speak nothing but the OpenAI protocol refuse the field. */
  #ownKey(): string | undefined {
    if (this.#options.notices === false) return undefined;
    const words = Array.from({ length: 4 }, () => Math.floor(this.#ports.random() * 2 ** 32));
    return `auto_${words.map((word) => word.toString(16).padStart(8, "0")).join("")}`;
  }

  #sendCancel(responseId: string): void {
    const event_id = `cancel_${++this.#count}`;
    this.#link.send({ type: "response.cancel", response_id: responseId, event_id });
  }

  #onMessage(message: Record<string, unknown>): void {
    const { type, stream_id } = message;
    if (typeof type !== "string") {
      this.#emit("error", new ProtocolError("The server sent a message without a type"));
    } else if (type === "error") this.#onError(message as unknown as ErrorEvent);
    else if (type === "mlx_serving:response.migrated") {
      this.#emit("migrated", message as unknown as MigratedNotice);
    } else if (type === "mlx_serving:server.draining") {
      this.#emit("draining", message as unknown as DrainingNotice);
    } else if (type.startsWith("mlx_serving:")) {
      // A notice of a newer server: notices are remarks, and this client has nobody to tell.
    } else this.#onEvent(stream_id, message as unknown as ResponseStreamEvent);
  }

  #onEvent(lane: unknown, event: ResponseStreamEvent): void {
    const accepted = typeof lane === "string" ? this.#lanes.accept(lane, event) : "nobody";
    if (accepted === "new") this.#link.proven();
    else if (accepted === "nobody") {
      this.#emit("error", new ProtocolError(`${event.type} belongs to no stream of this client`));
    }
  }

  #onError(event: ErrorEvent): void {
    if (this.#lanes.refuse(event) || isLateCancel(event)) return;
    const error = RequestError.of(event);
    this.#link.noteError(error);
    this.#emit("error", error);
  }

  #onOpen(): void {
    this.#lanes.opened();
    for (const responseId of this.#cancels) this.#sendCancel(responseId);
    this.#cancels.clear();
  }

  #onGone(info: CloseInfo, error: ConnectionLostError): void {
    this.#gone ??= error;
    this.#cancels.clear();
    this.#lanes.failAll(this.#gone);
    this.#emit("close", info);
  }

  #emit<K extends keyof ClientEvents>(name: K, event: ClientEvents[K]): void {
    for (const listener of this.#listeners[name]) listener(event);
  }
}

function abortWith(signal: AbortSignal, channel: Channel): void {
  const onAbort = () => channel.abort(new AbortedError(signal.reason));
  signal.addEventListener("abort", onAbort);
  channel.onEnd(() => signal.removeEventListener("abort", onAbort));
}
