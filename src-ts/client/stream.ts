/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The public face of one response: events to iterate over, the whole of it at its end, and ways to
 * cancel. What happens behind it is in `channel.ts`.
 */
import type {
  CustomToolCall,
  FunctionCall,
  ResponseObject,
  ResponseStreamEvent,
  ResponseUsage,
} from "../protocol/index.js";
import type { Channel } from "./channel.js";
import { AbortedError } from "./errors.js";
import { type Format, parsedOutput } from "./formats.js";

/** A tool that the model wants to be called. */
export type ToolCall = FunctionCall | CustomToolCall;

/** A response that has ended. */
export interface FinalResponse<Parsed = unknown> {
  /** All of its text, also where the stream was resumed in the middle. */
  text: string;
  /** What the model thought, where it tells. */
  reasoning: string;
  /** The calls that are complete, in order. `argumentsOf` reads their arguments. */
  calls: ToolCall[];
  /**
   * The value that the text is, checked by the schema of `text.format`. Null where no JSON was asked for, the answer
   * did not come to its end, or it has calls and no text.
   */
  parsed: Parsed | null;
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

/** What the model thought, in order. */
export function reasoningText(response: ResponseObject): string {
  let text = "";
  for (const item of response.output) {
    if (item.type === "reasoning") for (const part of item.content) text += part.text;
  }
  return text;
}

/** The complete calls of a response, in order. */
export function toolCalls(response: ResponseObject): ToolCall[] {
  return response.output.filter(
    (item): item is ToolCall =>
      (item.type === "function_call" || item.type === "custom_tool_call") &&
      item.status === "completed",
  );
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
export class ResponseStream<Parsed = unknown> implements AsyncIterable<ResponseStreamEvent> {
  readonly #channel: Channel;
  readonly #format: Format;

  /** @internal */
  constructor(channel: Channel, format?: Format) {
    this.#channel = channel;
    this.#format = format;
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
   * Waits for the end; works with and without a reader. Rejects as the iterator does, with
   * ResponseFailedError after `response.failed`, and with InvalidOutputError where a complete answer is not
   * what its schema lets through.
   */
  async final(): Promise<FinalResponse<Parsed>> {
    const response = await this.#channel.final();
    const text = outputText(response);
    const parsed = (await parsedOutput(this.#format, text, response)) as Parsed | null;
    const reasoning = reasoningText(response);
    return { text, reasoning, calls: toolCalls(response), parsed, usage: response.usage, response };
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
