/**
 * One response as this client sees it: checks the numbers of its events, keeps what the reader has
 * not taken yet, up to a limit, and knows how it ended. Knows no socket: `order` sends for it.
 */
import type { ResponseObject, ResponseStreamEvent, terminalEventTypes } from "../protocol/index.js";
import {
  AbortedError,
  type ClientError,
  ConsumerTooSlowError,
  ProtocolError,
  ResponseFailedError,
  SequenceGapError,
} from "./errors.js";

/** Orders a cancellation at the server. */
export type OrderCancel = (responseId: string) => void;

export interface ChannelOptions {
  /** Names this channel's `response.create` or resume, for errors about it. */
  eventId: string;
  /** The number before the first one that is expected; −1: from the start. */
  startingAfter: number;
  /** Known from the start when resuming. */
  responseId?: string | undefined;
  bufferedEventsMax: number;
  orderCancel: OrderCancel;
}

type End =
  | { kind: "open" }
  | { kind: "done"; response: ResponseObject }
  | { kind: "failed"; error: ClientError };

type Reader = "nobody" | "iterator" | "listener" | "final";

/** Someone who waits. */
interface Waiter<T> {
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** A reader that is always a little behind must not keep what it has read. */
const compactAfterEvents = 1024;

type TerminalType = (typeof terminalEventTypes)[number];
type TerminalEvent = Extract<ResponseStreamEvent, { type: TerminalType }>;

export function isTerminal(event: ResponseStreamEvent): event is TerminalEvent {
  const { type } = event;
  return (
    type === "response.completed" || type === "response.incomplete" || type === "response.failed"
  );
}

export class Channel {
  readonly eventId: string;
  responseId: string | undefined;
  /** Number of the last event that came in order. */
  #received: number;
  /** Number of the last event that the reader took. */
  #taken: number;
  #end: End = { kind: "open" };
  #reader: Reader = "nobody";
  #cancelWanted = false;
  /** The reader has been given an event. */
  #delivered = false;
  #buffer: ResponseStreamEvent[] = [];
  #bufferHead = 0;
  #pulls: Waiter<IteratorResult<ResponseStreamEvent, undefined>>[] = [];
  #finals: Waiter<ResponseObject>[] = [];
  #listener: ((event: ResponseStreamEvent) => void) | undefined;
  #onEnd: (() => void)[] = [];
  readonly #bufferedEventsMax: number;
  readonly #orderCancel: OrderCancel;

  constructor(options: ChannelOptions) {
    this.eventId = options.eventId;
    this.responseId = options.responseId;
    this.#received = options.startingAfter;
    this.#taken = options.startingAfter;
    this.#bufferedEventsMax = options.bufferedEventsMax;
    this.#orderCancel = options.orderCancel;
  }

  /** The reader has everything up to here; where nobody reads, all that came counts. */
  get cursor(): number {
    return this.#reader === "iterator" ? this.#taken : this.#received;
  }

  /** Number of the last event that came in order. */
  get received(): number {
    return this.#received;
  }

  get cancelWanted(): boolean {
    return this.#cancelWanted;
  }

  /** No event will be added any more. */
  get ended(): boolean {
    return this.#end.kind !== "open";
  }

  /**
   * Takes an event from the socket; true if it is a new one. Also after a failure: a cancellation may
   * wait for the id.
   */
  accept(event: ResponseStreamEvent): boolean {
    if (this.responseId === undefined && "response" in event) {
      this.responseId = event.response.id;
      if (this.#cancelWanted) this.#orderCancel(this.responseId);
    }
    if (this.ended) return false;
    if ("response" in event && event.response.id !== this.responseId) {
      this.fail(new ProtocolError(`An event of ${event.response.id} came for ${this.responseId}`));
      return false;
    }
    const expected = this.#received + 1;
    if (event.sequence_number < expected) {
      // Resumed after its end: the server repeats the terminal event.
      if (isTerminal(event)) this.#finish({ kind: "done", response: event.response });
      return false;
    }
    if (event.sequence_number > expected) {
      this.fail(new SequenceGapError(expected, event.sequence_number));
      return false;
    }
    this.#received = expected;
    this.#deliver(event);
    if (isTerminal(event)) this.#finish({ kind: "done", response: event.response });
    return true;
  }

  /** Forgets what came, as if nothing had; false, and nothing done, if the reader has seen some of it. */
  restart(): boolean {
    if (this.#delivered) return false;
    this.#clear();
    this.#received = -1;
    this.responseId = undefined;
    return true;
  }

  /** Nothing more comes. What is buffered can still be read, unless `discard`. */
  fail(error: ClientError, { discard = false } = {}): void {
    if (this.ended) return;
    if (discard) this.#clear();
    this.#finish({ kind: "failed", error });
  }

  /** Orders the server to end it; the stream goes on to its terminal event. */
  cancel(): void {
    if (this.#end.kind === "done" || this.#cancelWanted) return;
    this.#cancelWanted = true;
    if (this.responseId !== undefined) this.#orderCancel(this.responseId);
  }

  /** Cancels, and ends the stream here and now with `error`. */
  abort(error: ClientError): void {
    if (this.ended) return;
    this.cancel();
    this.fail(error, { discard: true });
  }

  /** Calls back when the stream has ended, at once if it has. */
  onEnd(callback: () => void): void {
    if (this.ended) callback();
    else this.#onEnd.push(callback);
  }

  /** Hands every event to `listener` instead of keeping it for an iterator. */
  listen(listener: (event: ResponseStreamEvent) => void): void {
    this.#claim("listener");
    this.#listener = listener;
    const waiting = this.#buffer.slice(this.#bufferHead);
    this.#clear();
    this.#delivered ||= waiting.length > 0;
    for (const event of waiting) listener(event);
  }

  /** Takes the iterator's place; throws if something else reads already. */
  iterate(): void {
    if (this.#reader !== "iterator") this.#claim("iterator");
  }

  next(): Promise<IteratorResult<ResponseStreamEvent, undefined>> {
    const event = this.#buffer[this.#bufferHead];
    if (event !== undefined) {
      this.#advance();
      this.#take(event);
      return Promise.resolve({ done: false, value: event });
    }
    if (this.#end.kind === "failed") return Promise.reject(this.#end.error);
    if (this.#end.kind === "done") return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.#pulls.push({ resolve, reject }));
  }

  /** The reader leaves before the end. */
  leave(): void {
    this.#clear();
    this.abort(new AbortedError());
  }

  /** The whole response, once it has ended. */
  final(): Promise<ResponseObject> {
    return new Promise((resolve, reject) => {
      this.#finals.push({ resolve, reject });
      if (this.ended) this.#settleFinals();
    });
  }

  #claim(reader: Reader): void {
    if (this.#reader !== "nobody") {
      throw new TypeError(
        this.#reader === "final"
          ? "Its events were given up: final() was waiting and nobody read them"
          : "The events of a stream can be read once",
      );
    }
    this.#reader = reader;
  }

  #deliver(event: ResponseStreamEvent): void {
    if (this.#listener !== undefined) {
      this.#delivered = true;
      this.#listener(event);
      return;
    }
    const pull = this.#pulls.shift();
    if (pull !== undefined) {
      this.#take(event);
      pull.resolve({ done: false, value: event });
      return;
    }
    if (this.#reader === "final") return;
    this.#buffer.push(event);
    if (this.#buffer.length - this.#bufferHead > this.#bufferedEventsMax) this.#overflow();
  }

  #take({ sequence_number }: ResponseStreamEvent): void {
    this.#taken = sequence_number;
    this.#delivered = true;
  }

  /** With final() waiting and no reader in sight the events are for nobody; else the reader is too slow. */
  #overflow(): void {
    if (this.#reader === "nobody" && this.#finals.length > 0) {
      this.#reader = "final";
      this.#clear();
      return;
    }
    this.#buffer.pop();
    this.#received -= 1;
    this.fail(new ConsumerTooSlowError(this.#bufferedEventsMax));
  }

  #advance(): void {
    this.#bufferHead += 1;
    if (this.#bufferHead < this.#buffer.length && this.#bufferHead < compactAfterEvents) return;
    this.#buffer = this.#buffer.slice(this.#bufferHead);
    this.#bufferHead = 0;
  }

  #clear(): void {
    this.#buffer = [];
    this.#bufferHead = 0;
  }

  #finish(end: End): void {
    if (this.ended) return;
    this.#end = end;
    for (const pull of this.#pulls.splice(0)) {
      if (end.kind === "failed") pull.reject(end.error);
      else pull.resolve({ done: true, value: undefined });
    }
    this.#settleFinals();
    for (const callback of this.#onEnd.splice(0)) callback();
  }

  #settleFinals(): void {
    const end = this.#end;
    for (const { resolve, reject } of this.#finals.splice(0)) {
      if (end.kind === "failed") reject(end.error);
      else if (end.kind === "done") {
        if (end.response.status === "failed") reject(new ResponseFailedError(end.response));
        else resolve(end.response);
      }
    }
  }
}
