/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The WebSocket client: many responses at once on one socket. Owns which response runs in which
 * lane, and what happens to all of them when the connection goes. The socket is `connection.ts`'s.
 */
import type {
  CreateResponseBody,
  DrainingNotice,
  ErrorEvent,
  MigratedNotice,
  Priority,
  ResponseStreamEvent,
} from "../protocol/index.js";
import { Channel } from "./channel.js";
import {
  type Address,
  type Connection,
  type ConnectionOptions,
  openConnection,
} from "./connection.js";
import {
  AbortedError,
  ClientClosedError,
  type ClientError,
  type CloseInfo,
  ConnectionLostError,
  ProtocolError,
  RequestError,
} from "./errors.js";
import { Lanes } from "./lanes.js";
import { platformPorts } from "./platform.js";
import type { ClientPorts, Timer } from "./ports.js";
import { ResponseStream } from "./stream.js";

export interface ConnectOptions extends ConnectionOptions {
  /** Events that a stream keeps for a slow reader before it fails. Default 8,192. */
  bufferedEventsMax?: number | undefined;
  /** How long `close` waits for the server to confirm cancellations, in ms. Default 5,000. */
  closeTimeoutMs?: number | undefined;
}

export interface RespondOptions {
  /** Cancels the response on the server and ends the stream with an AbortError. */
  signal?: AbortSignal | undefined;
  /** Responses of one lane run one after another. Default: a lane of its own. */
  lane?: string | undefined;
  /** After so many ms the server ends it with `deadline_exceeded`. */
  deadlineMs?: number | undefined;
  priority?: Priority | undefined;
  /** The same key and body attach to the same response; with another body it is refused (409). */
  idempotencyKey?: string | undefined;
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
  /** The connection is closed: by `close()`, or it was lost. */
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
  const client = new Client(ports, options);
  await client[open](url, options);
  return client;
}

const open = Symbol("open");

/** A connection to a server; `connect` makes one. */
export class Client {
  readonly #lanes = new Lanes();
  readonly #listeners: Listeners = {
    migrated: new Set(),
    draining: new Set(),
    error: new Set(),
    close: new Set(),
  };
  readonly #ports: ClientPorts;
  readonly #options: ConnectOptions;
  #connection: Connection | undefined;
  /** Why nothing can be sent any more. */
  #gone: ClientError | undefined;
  #closing: Promise<void> | undefined;
  #lastError: ClientError | undefined;
  #count = 0;

  /** @internal */
  constructor(ports: ClientPorts, options: ConnectOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  /** @internal */
  async [open](url: Address, options: ConnectOptions): Promise<void> {
    this.#connection = await openConnection(this.#ports, url, options, {
      onMessage: (message) => this.#onMessage(message),
      onGarbage: (error) => this.#report(error),
      onClose: (info, cause) => this.#onClose(info, cause),
    });
  }

  /**
   * Asks for a response. A refusal, a closed client, a lost connection don't throw here: they reject
   * the stream's iteration and `final()`.
   *
   * @example
   * const stream = client.respond({ input: "Why is the sky blue?" });
   * for await (const event of stream) {
   *   if (event.type === "response.output_text.delta") process.stdout.write(event.delta);
   * }
   * const { text, usage } = await stream.final();
   */
  respond(body: CreateResponseBody, options: RespondOptions = {}): ResponseStream {
    const { deadlineMs, priority, idempotencyKey } = options;
    const extensions = {
      ...(deadlineMs !== undefined && { "mlx_serving:deadline_ms": deadlineMs }),
      ...(priority !== undefined && { "mlx_serving:priority": priority }),
      ...(idempotencyKey !== undefined && { "mlx_serving:idempotency_key": idempotencyKey }),
    };
    const message = { ...body, ...extensions, type: "response.create" };
    return this.#start(message, { startingAfter: -1 }, options);
  }

  /**
   * Follows a response that is running or stored, on this or an earlier connection: replays the
   * events after `startingAfter`, then goes on. Refusals reject the stream: 404 for an unknown or
   * expired response, 400 for a number that it doesn't have yet.
   */
  resume(responseId: string, options: ResumeOptions = {}): ResponseStream {
    const { startingAfter = -1 } = options;
    const message = {
      type: "mlx_serving:response.resume",
      response_id: responseId,
      starting_after: startingAfter,
    };
    return this.#start(message, { startingAfter, responseId }, options);
  }

  /**
   * Orders a cancellation. Its outcome is the terminal event of whoever follows the response; an
   * unknown id is reported to `on("error")`. Does nothing once the connection is gone.
   */
  cancel(responseId: string): void {
    this.#send({
      type: "response.cancel",
      response_id: responseId,
      event_id: `cancel_${++this.#count}`,
    });
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

  /** True until `close` is called or the connection is lost. */
  get connected(): boolean {
    return this.#connection !== undefined && this.#gone === undefined;
  }

  /** Cancels what runs, waits until the server has confirmed it, and closes the connection. */
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
    for (const channel of this.#lanes.all()) channel.abort(new ClientClosedError());
    this.#gone = new ClientClosedError();
    const { now } = this.#ports;
    const startedAt = now();
    await this.#within(closeTimeoutMs, this.#lanes.idle());
    await this.#connection?.close(Math.max(0, closeTimeoutMs - (now() - startedAt)));
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
    message: object,
    response: { startingAfter: number; responseId?: string },
    { signal, lane }: { signal?: AbortSignal | undefined; lane?: string | undefined },
  ): ResponseStream {
    const { bufferedEventsMax = bufferedEventsMaxDefault } = this.#options;
    const streamId = lane ?? `stream_${++this.#count}`;
    const eventId = `event_${++this.#count}`;
    const orderCancel = (id: string) => this.cancel(id);
    const channel = new Channel({ ...response, eventId, bufferedEventsMax, orderCancel });
    if (this.#gone !== undefined) channel.fail(this.#gone);
    else if (signal?.aborted) channel.fail(new AbortedError(signal.reason));
    else {
      this.#send({ ...message, stream_id: streamId, event_id: eventId });
      this.#lanes.add(streamId, channel);
      if (signal !== undefined) abortWith(signal, channel);
    }
    return new ResponseStream(channel);
  }

  #send(message: object): void {
    // A cancellation still goes out while `close` waits for its confirmation.
    if (this.#gone === undefined || this.#gone instanceof ClientClosedError) {
      this.#connection?.send(message);
    }
  }

  #onMessage(message: Record<string, unknown>): void {
    const { type, stream_id } = message;
    if (typeof type !== "string") {
      this.#report(new ProtocolError("The server sent a message without a type"));
    } else if (type === "error") this.#onError(message as unknown as ErrorEvent);
    else if (type === "mlx_serving:response.migrated") {
      this.#emit("migrated", message as unknown as MigratedNotice);
    } else if (type === "mlx_serving:server.draining") {
      this.#emit("draining", message as unknown as DrainingNotice);
    } else if (type.startsWith("mlx_serving:")) {
      // A notice of a newer server: notices are remarks, and this client has nobody to tell.
    } else if (
      typeof stream_id !== "string" ||
      !this.#lanes.accept(stream_id, message as unknown as ResponseStreamEvent)
    ) {
      this.#report(new ProtocolError(`${type} belongs to no stream of this client`));
    }
  }

  #onError(event: ErrorEvent): void {
    if (this.#lanes.refuse(event)) return;
    this.#lastError = RequestError.of(event);
    this.#report(this.#lastError);
  }

  #onClose(info: CloseInfo, cause: unknown): void {
    this.#gone ??= new ConnectionLostError(info, cause ?? this.#lastError);
    this.#lanes.failAll(this.#gone);
    this.#emit("close", info);
  }

  #report(error: ClientError): void {
    this.#emit("error", error);
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
