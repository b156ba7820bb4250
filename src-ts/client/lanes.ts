/**
 * Which channel an event belongs to. Responses of one lane run one after another, so the events of a
 * lane belong to the first of it that has not ended on the server.
 */
import type { ErrorEvent, ResponseStreamEvent } from "../protocol/index.js";
import { type Channel, isTerminal } from "./channel.js";
import { type ClientError, RequestError } from "./errors.js";

export class Lanes {
  readonly #channels = new Map<string, Channel[]>();
  #onIdle: (() => void)[] = [];

  /** Channels whose response has not ended on the server. */
  get size(): number {
    return this.#channels.size;
  }

  add(lane: string, channel: Channel): void {
    const waiting = this.#channels.get(lane);
    if (waiting === undefined) this.#channels.set(lane, [channel]);
    else waiting.push(channel);
  }

  /** False if no response is running in this lane. */
  accept(lane: string, event: ResponseStreamEvent): boolean {
    const channels = this.#channels.get(lane);
    const first = channels?.[0];
    if (first === undefined) return false;
    first.accept(event);
    if (isTerminal(event)) this.#remove(lane, first);
    return true;
  }

  /** Fails the channel whose message was refused; false if the error is about none of them. */
  refuse(event: ErrorEvent): boolean {
    for (const [lane, channels] of this.#candidates(event)) {
      const channel = channels.find(({ eventId }) => eventId === event.event_id);
      if (channel === undefined) continue;
      channel.fail(RequestError.of(event));
      this.#remove(lane, channel);
      return true;
    }
    return false;
  }

  /** Every channel that has not ended on the server. */
  *all(): Generator<Channel> {
    for (const channels of this.#channels.values()) yield* channels;
  }

  /** Fails all, and forgets them: no event will come for them any more. */
  failAll(error: ClientError): void {
    for (const channel of this.all()) channel.fail(error);
    this.#channels.clear();
    this.#reportIdle();
  }

  /** Resolves when every response has ended on the server. */
  idle(): Promise<void> {
    if (this.#channels.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  #candidates({ stream_id }: ErrorEvent): Iterable<[string, Channel[]]> {
    if (stream_id === undefined) return this.#channels;
    const channels = this.#channels.get(stream_id);
    return channels === undefined ? [] : [[stream_id, channels]];
  }

  #remove(lane: string, channel: Channel): void {
    const rest = (this.#channels.get(lane) ?? []).filter((other) => other !== channel);
    if (rest.length > 0) this.#channels.set(lane, rest);
    else this.#channels.delete(lane);
    if (this.#channels.size === 0) this.#reportIdle();
  }

  #reportIdle(): void {
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }
}
