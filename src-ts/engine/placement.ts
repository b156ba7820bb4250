/**
 * Who runs where: the batches of the workers, what their prefix caches hold, and the scheduler's plan
 * over both. Turns live requests into the scheduler's plain data; decides nothing itself.
 */
import type { Loss } from "../machines/Request.js";
import * as Scheduler from "../machines/Scheduler.js";
import { type BatchHost, RunningBatch } from "./batch.js";
import type { Clock } from "./ports.js";
import { PrefixIndex } from "./prefixes.js";
import type { LiveRequest, Slot } from "./request.js";
import type { Supervisor } from "./supervisor.js";

/** How long simultaneous arrivals are gathered so that they prefill together. */
const batchWindowMs = 2;
/** Prompt tokens that one worker may have in flight. */
const prefillTokensMax = 16_384;
/** So long after it ran out of memory a worker that starts again gets half as many members. */
const squeezeMs = 60_000;

/** A worker ran out of memory with more than `members`. */
interface Squeeze {
  members: number;
  until: number;
}

export interface PlacementOptions {
  maxBatch: number;
  policy: Scheduler.Policy;
}

export class Placement {
  private readonly batches = new Map<string, RunningBatch>();
  private readonly squeezes = new Map<string, Squeeze>();
  private readonly prefixes = new PrefixIndex();
  private shares: Scheduler.Share[] = [];

  constructor(
    private readonly options: PlacementOptions,
    private readonly clock: Clock,
    private readonly requestOf: (id: string) => LiveRequest | undefined,
  ) {}

  /** A worker may take work; its incarnation gets a batch unless it has one. */
  open(worker: Supervisor, host: BatchHost): void {
    if (this.batches.has(worker.id)) return;
    this.relax(worker.id);
    const terms = { key: worker.model.id, budget: this.capacity(worker), windowMs: batchWindowMs };
    this.batches.set(worker.id, new RunningBatch(terms, this.clock, host));
  }

  /** The incarnation is gone, its members with it. */
  lost(workerId: string, loss: Loss): void {
    const batch = this.batches.get(workerId);
    const members = batch?.members.length ?? 0;
    if (loss === "outOfMemory" && members > 0) this.squeeze(workerId, members);
    this.batches.delete(workerId);
    batch?.workerLost();
    this.prefixes.forget(workerId);
  }

  drain(workerId: string): void {
    this.batches.get(workerId)?.drain("restart");
  }

  freeMembers(workerId: string): number {
    return this.batches.get(workerId)?.free.members ?? 0;
  }

  /** False when the batch did not admit it. */
  join(request: LiveRequest, slot: Slot, alone: boolean): boolean {
    const batch = this.batches.get(slot.workerId);
    return batch?.join(request.id, costNow(request), request.modelId, alone) ?? false;
  }

  prefilled(request: LiveRequest, workerId: string): void {
    this.batches.get(workerId)?.prefilled(request.id);
    this.prefixes.remember(workerId, request.blockHashes);
  }

  leave(request: LiveRequest, workerId: string): void {
    this.batches.get(workerId)?.leave(request.id);
  }

  plan(queue: Iterable<LiveRequest>, workers: readonly Supervisor[]): Scheduler.Decision[] {
    const planned = Scheduler.plan({
      queue: Array.from(queue, (request) => this.item(request)),
      workers: workers.filter(({ accepting }) => accepting).map((worker) => this.place(worker)),
      shares: this.shares,
      now: this.clock.now(),
      policy: this.options.policy,
    });
    this.shares = planned.shares;
    return planned.decisions;
  }

  /** Members that this worker may have now, of `maxBatch`. */
  private membersMax(workerId: string): number {
    return this.squeezes.get(workerId)?.members ?? this.options.maxBatch;
  }

  private squeeze(workerId: string, members: number): void {
    const until = this.clock.now() + squeezeMs;
    this.squeezes.set(workerId, { members: Math.max(1, Math.floor(members / 2)), until });
  }

  private relax(workerId: string): void {
    const squeeze = this.squeezes.get(workerId);
    if (squeeze !== undefined && this.clock.now() >= squeeze.until) this.squeezes.delete(workerId);
  }

  private item(request: LiveRequest): Scheduler.Item {
    const { submission, state } = request;
    return {
      requestId: request.id,
      clientId: submission.clientId,
      key: request.modelId,
      priority: submission.priority,
      arrivedAt: request.arrivedAt,
      deadlineAt: request.deadlineAt,
      cost: costNow(request),
      alone: state.kind === "queued" && state.tally.alone,
      prefixes: this.prefixes.lookup(request.blockHashes),
    };
  }

  private place(worker: Supervisor): Scheduler.Worker {
    const batch = this.batches.get(worker.id);
    const members = batch?.members ?? [];
    return {
      workerId: worker.id,
      key: worker.model.id,
      capacity: this.capacity(worker),
      free: batch?.free ?? { members: 0, kvBytes: 0, prefillTokens: 0 },
      held: members.some(({ exclusive }) => exclusive),
      preparing: worker.preparing > 0,
      running: members.map(({ requestId, cost }) => this.running(requestId, cost)),
    };
  }

  private running(requestId: string, cost: Scheduler.Item["cost"]): Scheduler.Running {
    const request = this.requestOf(requestId);
    const kind = request?.state.kind;
    return {
      requestId,
      priority: request?.submission.priority ?? "normal",
      arrivedAt: request?.arrivedAt ?? 0,
      startedAt: request?.slot?.startedAt ?? 0,
      cost,
      preemptible: kind === "prefilling" || kind === "decoding",
    };
  }

  private capacity(worker: Supervisor): Scheduler.Worker["capacity"] {
    return {
      members: this.membersMax(worker.id),
      kvBytes: worker.limits?.kvBudgetBytes ?? 0,
      prefillTokens: prefillTokensMax,
    };
  }
}

// On a resume the tokens that are out are prefilled again, and fewer are new.
function costNow(request: LiveRequest): Scheduler.Item["cost"] {
  const emitted = request.log?.emitted.length ?? 0;
  const { promptTokens, newTokens, kvBytes } = request.cost;
  return { promptTokens: promptTokens + emitted, newTokens: newTokens - emitted, kvBytes };
}
