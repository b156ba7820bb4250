/**
 * One response's dealings with the server, on whatever socket there is: what asks for it, whether this
 * socket has been asked, and what a refusal means. What its reader sees is `channel.ts`'s; whose turn it
 * is in a lane is `lanes.ts`'s.
 */
import type { ErrorEvent, ResponseStreamEvent } from "../protocol/index.js";
import { backoffMs } from "./backoff.js";
import { Channel } from "./channel.js";
import { type ConnectionLostError, RequestError, ResponseLostError } from "./errors.js";
import type { ClientPorts, Timer } from "./ports.js";

/** What the caller asked for. */
export type Order =
  | {
      kind: "create";
      body: object;
      /** From `orderedAt` on; the server is told what is left of it. */
      deadlineMs: number | undefined;
      orderedAt: number;
      /** Has an idempotency key: asking twice makes one response. */
      isRepeatable: boolean;
    }
  | { kind: "resume"; responseId: string; startingAfter: number };

export interface ExchangeOptions {
  order: Order;
  lane: string;
  /** Names its messages, for errors about them. */
  eventId: string;
  bufferedEventsMax: number;
  ports: ClientPorts;
  /** Sends on the socket that is open. */
  send(message: object): void;
}

/** What a refusal leads to: it is over, it is asked for again now, or after some time. */
export type Verdict = { kind: "over" } | { kind: "now" } | { kind: "later"; delayMs: number };

/** From a loss until the server has taken it up again. */
interface Recovery {
  until: number;
  refusals: number;
  /** It was asked for before the loss. */
  isAgain: boolean;
}

export class Exchange {
  readonly lane: string;
  readonly channel: Channel;
  readonly #options: ExchangeOptions;
  /** On the socket that is open. */
  #sent = false;
  #everSent = false;
  #recovery: Recovery | undefined;
  #retry: Timer | undefined;

  constructor(options: ExchangeOptions) {
    const { order, lane, eventId, bufferedEventsMax } = options;
    this.#options = options;
    this.lane = lane;
    const from = order.kind === "resume" ? order : { responseId: undefined, startingAfter: -1 };
    const orderCancel = (id: string) => this.#sendCancel(id);
    this.channel = new Channel({ ...from, eventId, bufferedEventsMax, orderCancel });
  }

  /** The server has been asked on this socket, and may send its events. */
  get isSent(): boolean {
    return this.#sent;
  }

  /** The server may know of it. */
  get wasEverSent(): boolean {
    return this.#everSent;
  }

  /** It may still be refused and have to be asked for again: who comes after it in its lane waits. */
  get isUnsettled(): boolean {
    return this.#recovery !== undefined;
  }

  /** It will be asked for again, but not yet. */
  get isResting(): boolean {
    return this.#retry !== undefined;
  }

  /** Asks for what is missing. A cancellation that may not have arrived is ordered again. */
  ask(): void {
    const { responseId, cancelWanted } = this.channel;
    this.#sent = true;
    this.#everSent = true;
    this.#options.send(responseId === undefined ? this.#create() : this.#resume(responseId));
    if (cancelWanted && responseId !== undefined) this.#sendCancel(responseId);
  }

  /** True if the event is a new one. */
  accept(event: ResponseStreamEvent): boolean {
    this.#recovery = undefined;
    return this.channel.accept(event);
  }

  /** There is no socket that was asked. False if it can't be asked for again. */
  lost(error: ConnectionLostError, until: number): boolean {
    this.#sent = false;
    this.rest(undefined);
    this.recoverUntil(until);
    if (!this.#everSent || this.channel.responseId !== undefined) return true;
    const { order } = this.#options;
    if (order.kind === "create" && order.isRepeatable) return true;
    this.channel.fail(error);
    return false;
  }

  /** The server has turned it away unseen; it has to be asked again. */
  unsend(): void {
    this.#sent = false;
  }

  /** From now on refusals that may pass are not final. */
  recoverUntil(until: number): void {
    this.#recovery = { until, refusals: 0, isAgain: this.#everSent };
  }

  /** Waits for `retry`; `undefined` ends the wait. */
  rest(retry: Timer | undefined): void {
    this.#retry?.cancel();
    this.#retry = retry;
  }

  /** The server doesn't do what it was asked for. */
  refused(event: ErrorEvent): Verdict {
    this.#sent = false;
    if (this.#isInterruption(event))
      this.recoverUntil(this.#options.ports.now() + interruptionMsMax);
    const delayMs = this.#delayAfter(event.status);
    if (this.channel.ended) return { kind: "over" };
    if (delayMs !== undefined) return { kind: "later", delayMs };
    if (this.#isForgotten(event) && this.channel.restart()) return { kind: "now" };
    this.#fail(RequestError.of(event));
    return { kind: "over" };
  }

  /** It was taken up, and can't be followed for now: the server's log can't be written, for one. */
  #isInterruption({ status }: ErrorEvent): boolean {
    return this.#recovery === undefined && status === 503 && this.channel.responseId !== undefined;
  }

  /** Undefined if the refusal is final, or there is no time left. */
  #delayAfter(status: number): number | undefined {
    const recovery = this.#recovery;
    if (recovery === undefined || !this.#mayPass(status)) return undefined;
    const { now, random } = this.#options.ports;
    recovery.refusals += 1;
    const delayMs = backoffMs(recovery.refusals, random);
    return now() + delayMs < recovery.until ? delayMs : undefined;
  }

  /** Full is an answer to who asks for a response, not to who was promised one. */
  #mayPass(status: number): boolean {
    return status === 503 || (status === 429 && this.channel.responseId !== undefined);
  }

  #isForgotten({ error }: ErrorEvent): boolean {
    if (this.#recovery === undefined || this.#options.order.kind === "resume") return false;
    return error.code === "response_not_found" && !this.channel.cancelWanted;
  }

  /** A trouble that may pass, but outlasted the time limit, is told as it is: the response may be there. */
  #fail(error: RequestError): void {
    const { responseId } = this.channel;
    const wasPromised = this.#recovery?.isAgain === true && responseId !== undefined;
    const isLost = wasPromised && !this.#mayPass(error.status ?? 0);
    this.channel.fail(isLost ? new ResponseLostError(responseId, error) : error);
  }

  #create(): object {
    const { order, lane, eventId } = this.#options;
    if (order.kind !== "create") throw new TypeError("A resumed response is never created");
    const deadlineMs = this.#deadlineLeftMs(order);
    return {
      ...order.body,
      ...(deadlineMs !== undefined && { "mlx_serving:deadline_ms": deadlineMs }),
      type: "response.create",
      stream_id: lane,
      event_id: eventId,
    };
  }

  /** At least 1: what a deadline that has passed means is the server's to say, which may have taken the request. */
  #deadlineLeftMs({ deadlineMs, orderedAt }: Order & { kind: "create" }): number | undefined {
    const elapsedMs = Math.floor(this.#options.ports.now() - orderedAt);
    if (deadlineMs === undefined || elapsedMs === 0) return deadlineMs;
    return Math.max(1, deadlineMs - elapsedMs);
  }

  #resume(responseId: string): object {
    return {
      type: "mlx_serving:response.resume",
      response_id: responseId,
      starting_after: this.channel.received,
      stream_id: this.#options.lane,
      event_id: this.#options.eventId,
    };
  }

  /** Before it was asked for there is nothing to cancel, or it is cancelled then. */
  #sendCancel(responseId: string): void {
    if (!this.#sent) return;
    const event_id = cancelIdOf(this.#options.eventId);
    this.#options.send({ type: "response.cancel", response_id: responseId, event_id });
  }
}

/** For so long a stream that the server has interrupted is asked for again. */
const interruptionMsMax = 60_000;
const cancelSuffix = "_cancel";

function cancelIdOf(eventId: string): string {
  return eventId + cancelSuffix;
}

/** A stream's own cancellation came too late, which its terminal event or its refusal tells anyway. */
export function isLateCancel({ event_id, error }: ErrorEvent): boolean {
  return error.code === "response_not_found" && event_id?.endsWith(cancelSuffix) === true;
}
