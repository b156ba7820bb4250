/**
 * Template and tokens, before anything is accepted. Any ready worker of the model does it; one that
 * dies hands it to the next. Owns the waiting for a worker; knows neither queue nor batch.
 */
import type { Failure } from "../machines/Request.js";
import { FrameTooLong, unpackTokens } from "../worker/link.js";
import type { LiveRequest } from "./request.js";
import type { RequestMessage, Supervisor } from "./supervisor.js";

export interface PreparerHost {
  nextSlotId(): number;
  workersOf(modelId: string): readonly Supervisor[];
  prepared(request: LiveRequest, worker: Supervisor): void;
  unpreparable(request: LiveRequest, code: Failure, message: string, field: string): void;
  /** How many requests this worker holds has changed. */
  recount(worker: Supervisor): void;
}

type Prepared = Extract<RequestMessage, { type: "prepared" }>;
type Refused = Extract<RequestMessage, { type: "refused" }>;

const tooLong = "the prompt is longer than a worker takes";

/** As a worker names it. */
function fieldOf({ submission }: LiveRequest): string {
  return submission.input.kind === "chat" ? "messages" : "input";
}

export class Preparer {
  private readonly waiting = new Set<LiveRequest>();
  private readonly running = new Map<number, LiveRequest>();
  private readonly counts = new Map<string, number>();

  constructor(private readonly host: PreparerHost) {}

  start(request: LiveRequest): void {
    const worker = this.pick(request.modelId);
    if (worker === undefined) {
      this.waiting.add(request);
      return;
    }
    const slotId = this.host.nextSlotId();
    request.preparing = { slotId, workerId: worker.id };
    this.running.set(slotId, request);
    this.count(worker, 1);
    try {
      worker.send({ type: "prepare", id: slotId, input: request.submission.input });
    } catch (error) {
      if (!(error instanceof FrameTooLong)) throw error;
      this.take(request, worker);
      this.host.unpreparable(request, "invalid_prompt", tooLong, fieldOf(request));
    }
  }

  /** It has ended; nobody waits for it any more. */
  drop(request: LiveRequest, worker: Supervisor | undefined): void {
    this.waiting.delete(request);
    this.take(request, worker);
  }

  available(): void {
    const requests = [...this.waiting];
    this.waiting.clear();
    for (const request of requests) this.start(request);
  }

  lost(worker: Supervisor): void {
    for (const request of this.running.values()) {
      if (request.preparing?.workerId !== worker.id) continue;
      this.take(request, undefined);
      this.waiting.add(request);
    }
    this.counts.delete(worker.id);
  }

  /** Requests that this worker prepares now. */
  held(workerId: string): number {
    return this.counts.get(workerId) ?? 0;
  }

  /** False when it is none of ours. */
  answer(worker: Supervisor, message: Prepared | Refused): boolean {
    const request = this.running.get(message.id);
    if (request === undefined || request.preparing?.workerId !== worker.id) return false;
    this.take(request, worker);
    if (message.type === "refused") {
      this.host.unpreparable(request, message.code, message.message, message.field);
      return true;
    }
    request.promptTokens = unpackTokens(message.tokens);
    request.blockHashes = message.blockHashes;
    this.host.prepared(request, worker);
    return true;
  }

  private pick(modelId: string): Supervisor | undefined {
    let best: Supervisor | undefined;
    for (const worker of this.host.workersOf(modelId)) {
      if (!worker.accepting) continue;
      if (best === undefined || this.held(worker.id) < this.held(best.id)) best = worker;
    }
    return best;
  }

  private take(request: LiveRequest, worker: Supervisor | undefined): void {
    if (request.preparing === undefined) return;
    this.running.delete(request.preparing.slotId);
    request.preparing = undefined;
    if (worker !== undefined) this.count(worker, -1);
  }

  private count(worker: Supervisor, by: number): void {
    this.counts.set(worker.id, this.held(worker.id) + by);
    this.host.recount(worker);
  }
}
