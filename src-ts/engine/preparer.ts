/**
 * Template and tokens, before anything is accepted. Any ready worker of the model does it. Owns who is
 * prepared where, and the waiting for a worker; whether one that lost its worker is prepared again,
 * and beside whom, its machine says. Knows neither queue nor batch.
 */
import type { Failure, Loss } from "../machines/Request.js";
import { UnsendableMessage, unpackTokens } from "../worker/link.js";
import { promptField } from "./refusals.js";
import type { LiveRequest } from "./request.js";
import type { RequestMessage, Supervisor } from "./supervisor.js";

export interface PreparerHost {
  nextSlotId(): number;
  workersOf(modelId: string): readonly Supervisor[];
  prepared(request: LiveRequest, worker: Supervisor): void;
  unpreparable(request: LiveRequest, code: Failure, message: string, field: string): void;
  /** The worker that was preparing it has gone. */
  preparerLost(request: LiveRequest, loss: Loss): void;
  /** How many requests this worker holds has changed. */
  recount(worker: Supervisor): void;
  /** Some worker prepares nobody any more: whoever must run alone may have waited for that. */
  freed(): void;
  /** It runs nothing. */
  isEmpty(worker: Supervisor): boolean;
  /** Somebody who must be alone runs there, or is about to. */
  isReserved(worker: Supervisor): boolean;
}

type Prepared = Extract<RequestMessage, { type: "prepared" }>;
type Refused = Extract<RequestMessage, { type: "refused" }>;

/** One prompt at one worker, until that has answered: one that nobody waits for can kill as well. */
interface Preparation {
  worker: Supervisor;
  /** Undefined: it has ended meanwhile. */
  request: LiveRequest | undefined;
  alone: boolean;
}

export class Preparer {
  private readonly waiting = new Set<LiveRequest>();
  /** They may have killed a worker: each waits for one that holds nobody. */
  private readonly suspects = new Set<LiveRequest>();
  private readonly running = new Map<number, Preparation>();
  private readonly counts = new Map<string, number>();

  constructor(private readonly host: PreparerHost) {}

  start(request: LiveRequest, alone = false): void {
    if (alone) {
      this.suspects.add(request);
      return;
    }
    const worker = this.pick(request.modelId);
    if (worker === undefined) this.waiting.add(request);
    else this.send(request, worker, false);
  }

  /** It has ended; nobody waits for it any more. */
  drop(request: LiveRequest): void {
    this.waiting.delete(request);
    this.suspects.delete(request);
    if (request.preparing === undefined) return;
    const preparation = this.running.get(request.preparing.slotId);
    if (preparation !== undefined) preparation.request = undefined;
    request.preparing = undefined;
  }

  /** End of the turn: whoever waits and can be prepared now. */
  review(): void {
    for (const { modelId } of [...this.suspects])
      for (const worker of this.host.workersOf(modelId)) this.tryAlone(worker);
    const requests = [...this.waiting];
    this.waiting.clear();
    for (const request of requests) this.start(request);
  }

  /** A worker that holds nobody gets the next suspect, and nobody else until that is over. */
  tryAlone(worker: Supervisor): void {
    if (!worker.available || this.held(worker.id) > 0 || !this.host.isEmpty(worker)) return;
    for (const request of this.suspects) {
      if (request.modelId !== worker.model.id) continue;
      this.suspects.delete(request);
      this.send(request, worker, true);
      if (worker.trying) return;
    }
  }

  lost(worker: Supervisor, loss: Loss): void {
    const lost = [...this.running].filter(([, preparation]) => preparation.worker === worker);
    for (const [slotId] of lost) this.running.delete(slotId);
    this.counts.delete(worker.id);
    worker.trying = false;
    for (const [, { request }] of lost) {
      if (request === undefined) continue;
      request.preparing = undefined;
      this.host.preparerLost(request, loss);
    }
  }

  /** Requests that this worker prepares now. */
  held(workerId: string): number {
    return this.counts.get(workerId) ?? 0;
  }

  /** False when it is none of ours. */
  answer(worker: Supervisor, message: Prepared | Refused): boolean {
    const preparation = this.running.get(message.id);
    if (preparation?.worker !== worker) return false;
    const { request } = preparation;
    const tokens = message.type === "prepared" ? unpackTokens(message.tokens) : undefined;
    this.take(message.id, preparation);
    this.tryAlone(worker);
    if (request === undefined) return true;
    request.preparing = undefined;
    if (message.type === "refused") {
      // Templates know prompts as messages; not every API does.
      const field = message.field === "messages" ? promptField : message.field;
      this.host.unpreparable(request, message.code, message.message, field);
      return true;
    }
    request.promptTokens = tokens!;
    request.blockHashes = message.blockHashes;
    this.host.prepared(request, worker);
    return true;
  }

  private pick(modelId: string): Supervisor | undefined {
    let best: Supervisor | undefined;
    for (const worker of this.host.workersOf(modelId)) {
      if (!worker.accepting || this.host.isReserved(worker)) continue;
      if (best === undefined || this.held(worker.id) < this.held(best.id)) best = worker;
    }
    return best;
  }

  private send(request: LiveRequest, worker: Supervisor, alone: boolean): void {
    const slotId = this.host.nextSlotId();
    const { input } = request.submission;
    try {
      worker.send({ type: "prepare", id: slotId, input });
    } catch (error) {
      if (!(error instanceof UnsendableMessage)) throw error;
      const said = `${promptField}: ${error.message}`;
      return this.host.unpreparable(request, error.code, said, promptField);
    }
    request.preparing = { slotId, workerId: worker.id };
    this.running.set(slotId, { worker, request, alone });
    if (alone) worker.trying = true;
    this.count(worker, 1);
  }

  private take(slotId: number, { worker, alone }: Preparation): void {
    this.running.delete(slotId);
    if (alone) worker.trying = false;
    this.count(worker, -1);
    if (this.held(worker.id) === 0) this.host.freed();
  }

  private count(worker: Supervisor, by: number): void {
    this.counts.set(worker.id, this.held(worker.id) + by);
    this.host.recount(worker);
  }
}
