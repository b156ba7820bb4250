/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The public face of one response: events to iterate over, the whole of it at its end, and ways to
 * cancel. What happens behind it is in `channel.ts`.
 */
import type { ResponseObject, ResponseStreamEvent, ResponseUsage } from "../protocol/index.js";
import type { Channel } from "./channel.js";
import { AbortedError } from "./errors.js";

/** A response that has ended. */
export interface FinalResponse {
  /** All of its text, also where the stream was resumed in the middle. */
  text: string;
  usage: ResponseUsage | null;
  /** The response object of the terminal event; `status` is `completed`, `incomplete` or `cancelled`. */
  response: ResponseObject;
}

/** Text of all messages of a response, in order. */
export function outputText(response: ResponseObject): string {
  let text = "";
  for (const item of response.output) {
    if (item.type !== "message") continue;
    for (const part of item.content) if (part.type === "output_text") text += part.text;
  }
  return text;
}

/**
 * The events of one response, in order and without gaps. One reader: either iterate, or `listen`, or
 * only wait for `final()`.
 *
 * Leaving the loop early, aborting the signal and the end of an `await using` cancel the response on
 * the server. Events that nobody has read are kept, `bufferedEventsMax` of them at most; past that
 * the stream fails with `consumer_too_slow` once the reader has taken what is kept, the response goes
 * on, and `client.resume(stream.responseId, { startingAfter: stream.cursor })` continues it.
 */
export class ResponseStream implements AsyncIterable<ResponseStreamEvent> {
  readonly #channel: Channel;

  /** @internal */
  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** The response's id; undefined until the server has accepted the request. */
  get responseId(): string | undefined {
    return this.#channel.responseId;
  }

  /**
   * Sequence number of the last event that the reader took, −1 before the first; where nobody
   * iterates, of the last one that came. What `startingAfter` of a resume wants.
   */
  get cursor(): number {
    return this.#channel.cursor;
  }

  /** True once the terminal event has come or the stream has failed. */
  get ended(): boolean {
    return this.#channel.ended;
  }

  /**
   * Iterates over the events up to and with the terminal one. Rejects with a ClientError: refused
   * (RequestError), AbortedError, ConnectionLostError, SequenceGapError, ConsumerTooSlowError. A
   * `response.failed` is an event like any other here; `final()` throws it.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<ResponseStreamEvent> {
    const channel = this.#channel;
    channel.iterate();
    let left = false;
    return {
      next: () => {
        if (left) return Promise.resolve({ done: true, value: undefined });
        return channel.next();
      },
      return: () => {
        left = true;
        channel.leave();
        return Promise.resolve({ done: true, value: undefined });
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /** Calls `listener` with each event as it arrives, instead of iterating: nothing is buffered. */
  listen(listener: (event: ResponseStreamEvent) => void): void {
    this.#channel.listen(listener);
  }

  /**
   * Waits for the end; works with and without a reader. Rejects as the iterator does, and with
   * ResponseFailedError after `response.failed`.
   */
  async final(): Promise<FinalResponse> {
    const response = await this.#channel.final();
    return { text: outputText(response), usage: response.usage, response };
  }

  /**
   * Orders the server to cancel. The stream goes on to its terminal event, so that what came so far
   * and its usage are not lost. To end it here and now abort the signal or leave the loop.
   */
  cancel(): void {
    this.#channel.cancel();
  }

  /** Cancels unless it has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#channel.abort(new AbortedError());
  }
}
