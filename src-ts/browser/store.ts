/**
 * A response as a page shows it: one at a time, with a state that is subscribed to, and orders that never throw. What
 * the state is made of is `state.ts`'s, when it is shown `publisher.ts`'s, the connection `source.ts`'s.
 */
import {
  AbortedError,
  type Client,
  ClientError,
  DefinitionError,
  type FinalResponse,
  type Format,
  isClientError,
  type ParsedOf,
  type RespondOptions,
  type ResponseFailedError,
  type ResponseRequest,
  type ResponseStream,
  type ResponseStreamEvent,
} from "../client/index.js";
import { atNextFrame, Publisher } from "./publisher.js";
import { type Clients, clientsOf, type ResponseSource, type SourceOptions } from "./source.js";
import { idleState, type ResponseState, withAbort, withEnd, withEvent } from "./state.js";

export interface ResponseStoreOptions extends SourceOptions {
  /** When text that grows is shown: once a frame, or with every event. What else changes is shown at once. */
  updates?: "frame" | "event" | undefined;
}

/** Its functions need no `this`: they may be handed on alone. */
export interface ResponseStore {
  /** Calls back after each change of the state; returns the way to stop. */
  readonly subscribe: (listener: () => void) => () => void;
  /** The state; the same object until it changes. */
  readonly getSnapshot: () => ResponseState;
  /** What a server renders: nothing was asked for yet. */
  readonly getServerSnapshot: () => ResponseState;
  /**
   * Asks for a response; one that runs is cancelled before. Resolves at its end, and never rejects: `undefined` means
   * that it failed, which the state's `error` explains, or that it was left.
   */
  readonly send: <const F extends Format = undefined>(
    body: ResponseRequest<F>,
    options?: RespondOptions,
  ) => Promise<FinalResponse<ParsedOf<F>> | undefined>;
  /**
   * Follows a response that is running or stored: `responseId` from its start, such as after a reload, or without an
   * id the one of the state from where it was left. A lost connection needs none of it. Resolves as `send` does.
   */
  readonly resume: (responseId?: string) => Promise<FinalResponse<null> | undefined>;
  /** Ends what runs, on the server too; text and usage are kept. */
  readonly stop: () => void;
  /** Back to nothing; what runs is cancelled. */
  readonly reset: () => void;
  /** Cancels what runs, and closes the connection if the store has opened it. A later `send` opens another. */
  readonly dispose: () => void;
}

/**
 * @example
 * const store = createResponseStore("http://127.0.0.1:8088");
 * store.subscribe(() => {
 *   output.textContent = store.getSnapshot().text;
 * });
 * await store.send({ input: "Why is the sky blue?" });
 */
export function createResponseStore(
  source: ResponseSource,
  { updates = "frame", ...options }: ResponseStoreOptions = {},
): ResponseStore {
  const store = new Store(clientsOf(source, options), updates === "frame");
  return {
    subscribe: (listener) => store.publisher.subscribe(listener),
    getSnapshot: () => store.publisher.shown,
    getServerSnapshot: () => idleState,
    send: (body, asked) => store.send(body, asked),
    resume: (responseId) => store.resume(responseId),
    stop: () => store.stop(),
    reset: () => store.reset(),
    dispose: () => store.dispose(),
  };
}

/** A response that is followed. One that is left has its signal aborted, and says nothing any more. */
interface Following {
  readonly abort: AbortController;
  client?: Client;
  stream?: ResponseStream;
}

type Begin<Parsed> = (client: Client, signal: AbortSignal) => ResponseStream<Parsed>;

class Store {
  readonly publisher: Publisher<ResponseState>;
  readonly #clients: Clients;
  #following: Following | undefined;

  constructor(clients: Clients, byFrame: boolean) {
    this.#clients = clients;
    this.publisher = new Publisher(idleState, byFrame ? atNextFrame : undefined);
  }

  send<const F extends Format>(
    body: ResponseRequest<F>,
    options: RespondOptions = {},
  ): Promise<FinalResponse<ParsedOf<F>> | undefined> {
    const begin: Begin<ParsedOf<F>> = (client, signal) =>
      client.respond<F>(body, { ...options, signal });
    return this.#follow(begin, idleState, options.signal);
  }

  resume(given: string | undefined): Promise<FinalResponse<null> | undefined> {
    const before = this.publisher.newest;
    const responseId = given ?? before.responseId;
    const state = given === undefined ? before : { ...idleState, responseId };
    return this.#follow((client, signal) => {
      if (responseId === undefined) throw nothingToResume();
      return client.resume(responseId, { startingAfter: state.cursor, signal });
    }, state);
  }

  stop(): void {
    const following = this.#following;
    if (following === undefined) return;
    // Without a connection nothing confirms it: the order waits for the next one, and the page doesn't.
    if (following.stream === undefined || following.client?.connected !== true) this.#leave();
    else {
      following.stream.cancel();
      this.publisher.publish({ ...this.publisher.newest, status: "stopping" });
    }
  }

  reset(): void {
    this.#leave();
    this.publisher.publish(idleState);
  }

  dispose(): void {
    this.#leave();
    this.#clients.release();
  }

  async #follow<Parsed>(
    begin: Begin<Parsed>,
    before: ResponseState,
    signal?: AbortSignal,
  ): Promise<FinalResponse<Parsed> | undefined> {
    this.#following?.abort.abort();
    const following: Following = { abort: new AbortController() };
    this.#following = following;
    const release = passOn(signal, following.abort);
    const status = this.#clients.current === undefined ? "connecting" : "waiting";
    const noEnd = { response: undefined, error: undefined, usage: null };
    this.publisher.publish({ ...before, ...noEnd, status, running: true });
    try {
      const final = await this.#followed(begin, following);
      if (this.#ends(following)) this.publisher.publish(withEnd(this.publisher.newest, final));
      return final;
    } catch (error) {
      if (this.#ends(following)) this.publisher.publish(failed(this.publisher.newest, error));
      return undefined;
    } finally {
      release();
    }
  }

  async #followed<Parsed>(
    begin: Begin<Parsed>,
    following: Following,
  ): Promise<FinalResponse<Parsed>> {
    const { signal } = following.abort;
    const client = await this.#clients.get(signal);
    if (signal.aborted) throw new AbortedError(signal.reason);
    const stream = begin(client, signal);
    Object.assign(following, { client, stream });
    const unwatch = this.#watch(client);
    try {
      stream.listen((event) => this.#onEvent(event));
      return await stream.final();
    } finally {
      unwatch();
    }
  }

  #onEvent(event: ResponseStreamEvent): void {
    const { newest } = this.publisher;
    const state = withEvent(newest, event);
    const status = statusAfter(newest, state);
    if (status === newest.status) this.publisher.publishLater(state);
    else this.publisher.publish({ ...state, status });
  }

  /** Shows what becomes of the connection meanwhile; returns the way to stop. */
  #watch(client: Client): () => void {
    const show = (status: ResponseState["status"]) => {
      const { newest } = this.publisher;
      if (newest.status !== status) this.publisher.publish({ ...newest, status });
    };
    const begun = () => (hasBegun(this.publisher.newest) ? "streaming" : "waiting");
    const off = [
      client.on("reconnecting", () => {
        if (this.publisher.newest.status === "stopping") this.#leave();
        else show("reconnecting");
      }),
      client.on("reconnected", () => show(begun())),
    ];
    show(client.connected ? begun() : "reconnecting");
    return () => {
      for (const stop of off) stop();
    };
  }

  /** True if it was followed until now; it is no more. */
  #ends(following: Following): boolean {
    if (this.#following !== following) return false;
    this.#following = undefined;
    return true;
  }

  /** Cancels what runs, and waits for nothing. */
  #leave(): void {
    const following = this.#following;
    if (following === undefined) return;
    this.#following = undefined;
    following.abort.abort();
    this.publisher.publish(withAbort(this.publisher.newest));
  }
}

const hasBegun = ({ items, text }: ResponseState) => items.length > 0 || text !== "";

function statusAfter(before: ResponseState, state: ResponseState): ResponseState["status"] {
  const { status } = before;
  return status === "waiting" && hasBegun(state) ? "streaming" : status;
}

function failed(state: ResponseState, error: unknown): ResponseState {
  if (!isClientError(error)) return withEnd(state, { error: unexpected(error) });
  if (error.code === "aborted") return withAbort(state);
  const { response } = error as Partial<ResponseFailedError>;
  return withEnd(state, { error, response });
}

/** Of a page's own function, that was to give a client or to read a schema. */
function unexpected(cause: unknown): ClientError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new ClientError(message, { code: "unexpected_error", cause });
}

const nothingToResume = (): ClientError =>
  new DefinitionError("There is no response to resume: none was asked for here", "responseId");

/** `AbortSignal.any`, which not every browser has. Returns the way to stop listening. */
function passOn(signal: AbortSignal | undefined, abort: AbortController): () => void {
  const onAbort = () => abort.abort(signal?.reason);
  if (signal?.aborted) onAbort();
  signal?.addEventListener("abort", onAbort);
  return () => signal?.removeEventListener("abort", onAbort);
}
