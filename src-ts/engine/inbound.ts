/**
 * What workers say about requests, as events of those requests. Gathers the tokens of a turn, so that
 * they are numbered once, and acknowledges steps when they are in the log.
 */
import type { Event, Finish, State } from "../machines/Request.js";
import { LinkViolation } from "../worker/link.js";
import type { StepRow } from "../worker/messages.js";
import type { Preparer } from "./preparer.js";
import type { Arrived, LiveRequest, Slot } from "./request.js";
import type { Slots } from "./slots.js";
import type { RequestMessage, Supervisor } from "./supervisor.js";

type Message<K extends RequestMessage["type"]> = Extract<RequestMessage, { type: K }>;

export class Inbound {
  /** Slots with tokens that are not numbered yet. */
  private readonly arrived = new Set<Slot>();
  private readonly acks = new Map<Supervisor, number>();

  constructor(
    private readonly slots: Slots,
    private readonly preparer: Preparer,
    private readonly post: (request: LiveRequest, event: Event, arrived?: Arrived) => void,
  ) {}

  receive(worker: Supervisor, message: RequestMessage): void {
    switch (message.type) {
      case "step":
        return this.step(worker, message);
      case "prepared":
        return this.prepared(worker, message);
      case "refused":
        if (this.preparer.answer(worker, message)) return;
        return this.slotMessage(worker, message);
      default:
        return this.slotMessage(worker, message);
    }
  }

  /** End of the turn: what has arrived becomes events. */
  numberAll(): void {
    for (const slot of this.arrived) this.number(slot);
    this.arrived.clear();
  }

  /** What has arrived for this slot becomes one event of its request, and goes with it: it may have to wait. */
  number(slot: Slot): void {
    const { request, lease, tokens, text, logprobs } = slot;
    if (tokens.length === 0) return;
    slot.tokens = [];
    slot.text = "";
    slot.logprobs = [];
    const index = request.log!.emitted.length;
    const event: Event = { kind: "tokens", lease, index, count: tokens.length };
    this.post(request, event, { tokens, text, logprobs });
  }

  /** After the tokens are in the log. */
  acknowledge(): void {
    for (const [worker, step] of this.acks) worker.send({ type: "ack", step });
    this.acks.clear();
  }

  forgetSlot(slot: Slot): void {
    this.arrived.delete(slot);
  }

  forgetWorker(worker: Supervisor): void {
    this.acks.delete(worker);
  }

  private prepared(worker: Supervisor, message: Message<"prepared">): void {
    try {
      this.preparer.answer(worker, message);
    } catch (error) {
      if (!(error instanceof LinkViolation)) throw error;
      worker.condemn(error.message);
    }
  }

  private slotMessage(
    worker: Supervisor,
    message: Message<"aborted" | "prefill" | "ended" | "refused">,
  ): void {
    const slot = this.slots.get(message.id);
    if (slot === undefined) return;
    if (slot.workerId !== worker.id) return worker.condemn(`${message.type}: not its slot`);
    this.number(slot);
    const { request, lease } = slot;
    switch (message.type) {
      case "prefill": {
        const { done, total, cached } = message;
        noteCached(request, Math.min(cached, request.promptTokens.length));
        return this.post(request, { kind: "progress", lease, done, total });
      }
      case "aborted":
        return this.post(request, { kind: "aborted", lease });
      case "refused":
        request.failure = message.message;
        return this.post(request, { kind: "refused", lease, code: message.code });
      case "ended":
        request.tail = message.tail;
        if (message.message !== undefined) request.failure = message.message;
        return this.post(request, { kind: "ended", lease, finish: finishOf(message) });
    }
  }

  private step(worker: Supervisor, message: Message<"step">): void {
    this.acks.set(worker, message.step);
    for (const row of message.rows) {
      const slot = this.slots.get(row[0]);
      if (slot !== undefined && !this.arrive(worker, slot, row)) return;
    }
  }

  /** False when the worker is broken. */
  private arrive(worker: Supervisor, slot: Slot, row: StepRow): boolean {
    const [, index, token, text, logprobs] = row;
    const { log, maxTokens } = slot.request;
    const expected = log!.emitted.length + slot.tokens.length;
    if (expected >= maxTokens) {
      worker.condemn(`step: token ${index} of slot ${slot.id} where ${maxTokens} were asked for`);
      return false;
    }
    if (slot.workerId !== worker.id || (index !== expected && !isEnding(slot.request.state))) {
      worker.condemn(`step: token ${index} of slot ${slot.id} where ${expected} was next`);
      return false;
    }
    slot.tokens.push(token);
    slot.text += text;
    if (logprobs) slot.logprobs.push(logprobs);
    this.arrived.add(slot);
    return true;
  }
}

// Its tokens are dropped: the log stands still while the worker goes on. One that is preempted keeps them.
function isEnding(state: State): boolean {
  return state.kind === "cancelling" && state.cause !== "preempted";
}

// The first lease's hit is the request's: a replay after a crash costs the client nothing.
function noteCached(request: LiveRequest, cached: number): void {
  if (request.slot?.lease.epoch !== 1 || request.log === undefined) return;
  if (request.log.emitted.length === 0) request.log.cachedTokens = cached;
}

function finishOf(message: Message<"ended">): Finish {
  switch (message.finish) {
    case "tool_calls":
      return { kind: "toolCalls" };
    case "failed":
      return { kind: "failed", code: message.code ?? "generation_error" };
    default:
      return { kind: message.finish };
  }
}
