/**
 * Whose turn it is. Responses of one lane run one after another, so the events of a lane belong to the
 * first of it that has not ended on the server; and on a new socket they are asked for in that order,
 * one after another, so that a refusal can't let the next one overtake.
 */
import type { ErrorEvent, ResponseStreamEvent } from "../protocol/index.js";
import { isTerminal } from "./channel.js";
import type { ClientError, ConnectionLostError } from "./errors.js";
import type { Exchange } from "./exchange.js";
import type { ClientPorts } from "./ports.js";

/** What became of an event: nobody's, known before, or new to its stream. */
export type Accepted = "nobody" | "known" | "new";

export class Lanes {
  readonly #lanes = new Map<string, Exchange[]>();
  #isOpen = false;
  #onIdle: (() => void)[] = [];
  readonly #ports: ClientPorts;

  constructor(ports: ClientPorts) {
    this.#ports = ports;
  }

  add(exchange: Exchange): void {
    const { lane, channel } = exchange;
    const exchanges = this.#lanes.get(lane);
    const last = exchanges?.at(-1);
    if (exchanges === undefined) this.#lanes.set(lane, [exchange]);
    else exchanges.push(exchange);
    if (this.#isOpen && (last === undefined || isSettled(last))) exchange.ask();
    // What the server never heard of needs no end there.
    channel.onEnd(() => {
      if (!exchange.wasEverSent) this.#remove(exchange);
    });
  }

  accept(lane: string, event: ResponseStreamEvent): Accepted {
    const first = this.#lanes.get(lane)?.[0];
    if (first === undefined || !first.isSent) return "nobody";
    const { isUnsettled } = first;
    const isNew = first.accept(event);
    if (isTerminal(event)) this.#remove(first);
    else if (isUnsettled) this.#ask(lane);
    return isNew ? "new" : "known";
  }

  /** False if the error is about none of them. */
  refuse(event: ErrorEvent): boolean {
    const exchange = this.#find(event);
    if (exchange === undefined) return false;
    if (event.status === 503 && this.#isBehindUnsettled(exchange)) {
      exchange.unsend();
      return true;
    }
    const verdict = exchange.refused(event);
    if (verdict.kind === "over") this.#remove(exchange);
    else if (verdict.kind === "now") this.#ask(exchange.lane);
    else this.#askLater(exchange, verdict.delayMs);
    return true;
  }

  /** A socket is open: asks for everything. */
  opened(): void {
    this.#isOpen = true;
    for (const lane of [...this.#lanes.keys()]) this.#ask(lane);
  }

  /** No socket is open; what can't be asked for again fails. */
  lost(error: ConnectionLostError, until: number): void {
    this.#isOpen = false;
    for (const exchange of [...this.#all()]) {
      if (!exchange.lost(error, until) || this.#isForNobody(exchange)) this.#remove(exchange);
    }
  }

  cancelAll(error: () => ClientError): void {
    for (const { channel } of [...this.#all()]) channel.abort(error());
  }

  /** False if no stream here is of this response. */
  cancel(responseId: string): boolean {
    for (const { channel } of this.#all()) {
      if (channel.responseId !== responseId || channel.cancelWanted) continue;
      channel.cancel();
      return true;
    }
    return false;
  }

  /** Fails all, and forgets them: no event will come for them any more. */
  failAll(error: ClientError): void {
    this.#isOpen = false;
    for (const exchange of [...this.#all()]) {
      exchange.rest(undefined);
      exchange.channel.fail(error);
    }
    this.#lanes.clear();
    this.#reportIdle();
  }

  /** Resolves when every response has ended on the server. */
  idle(): Promise<void> {
    if (this.#lanes.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  *#all(): Generator<Exchange> {
    for (const exchanges of this.#lanes.values()) yield* exchanges;
  }

  #find({ event_id, stream_id }: ErrorEvent): Exchange | undefined {
    const named = stream_id === undefined ? undefined : (this.#lanes.get(stream_id) ?? []);
    for (const exchange of named ?? this.#all()) {
      if (exchange.isSent && exchange.channel.eventId === event_id) return exchange;
    }
    return undefined;
  }

  /** The lane was broken off before it: it is asked for again when its turn comes. */
  #isBehindUnsettled(exchange: Exchange): boolean {
    const [first] = this.#lanes.get(exchange.lane) ?? [];
    return first !== undefined && first !== exchange && (first.isUnsettled || first.isResting);
  }

  /** Its stream has failed here, runs on there, and nobody waits behind it. */
  #isForNobody({ channel, lane }: Exchange): boolean {
    if (!channel.ended || channel.cancelWanted) return false;
    return this.#lanes.get(lane)?.every((other) => other.channel.ended) ?? true;
  }

  /** As many as may be asked for, in order. */
  #ask(lane: string): void {
    if (!this.#isOpen) return;
    for (const exchange of this.#lanes.get(lane) ?? []) {
      if (exchange.isResting) return;
      if (!exchange.isSent) exchange.ask();
      if (exchange.isUnsettled) return;
    }
  }

  #askLater(exchange: Exchange, delayMs: number): void {
    exchange.rest(
      this.#ports.after(delayMs, () => {
        exchange.rest(undefined);
        this.#ask(exchange.lane);
      }),
    );
  }

  #remove(exchange: Exchange): void {
    const { lane } = exchange;
    exchange.rest(undefined);
    const rest = (this.#lanes.get(lane) ?? []).filter((other) => other !== exchange);
    if (rest.length > 0) this.#lanes.set(lane, rest);
    else this.#lanes.delete(lane);
    this.#ask(lane);
    if (this.#lanes.size === 0) this.#reportIdle();
  }

  #reportIdle(): void {
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }
}

function isSettled(exchange: Exchange): boolean {
  return exchange.isSent && !exchange.isUnsettled;
}
