/**
 * The engine loop: the only place where an event meets a request's machine. Event in, transition,
 * effects in order. Owns the live requests and the queue; decides nothing itself: lifecycles are the
 * machines', placement is the scheduler's, content is the log's.
 */
import * as Request from "../machines/Request.js";
import type { Decision } from "../machines/Scheduler.js";
import { sendAdmission } from "./admission.js";
import type { Ending, EngineObserver } from "./api.js";
import { withDefaults } from "./defaults.js";
import { Inbound } from "./inbound.js";
import type { StoredResponse } from "./journal.js";
import type { ResponseLog } from "./log.js";
import { Logs } from "./logs.js";
import { Placement, type PlacementOptions } from "./placement.js";
import type { Ports } from "./ports.js";
import { Preparer } from "./preparer.js";
import { endingOf, noWorker, promptField, refusalOf } from "./refusals.js";
import type { Registry } from "./registry.js";
import {
  type Arrived,
  isSuspect,
  type LiveRequest,
  newSlot,
  nothingToPrepare,
  type Slot,
  timings,
} from "./request.js";
import { Roster } from "./roster.js";
import { overBudget, sizeOf } from "./sizing.js";
import { Slots } from "./slots.js";
import type { RequestMessage, Supervisor } from "./supervisor.js";
import { Turn } from "./turn.js";

export interface LoopHost {
  registry: Registry;
  workers: readonly Supervisor[];
  observers: ReadonlySet<EngineObserver>;
}

interface Posted {
  request: LiveRequest;
  event: Request.Event;
  /** What a `tokens` event is about. */
  arrived: Arrived | undefined;
}

export class Loop {
  readonly live = new Map<string, LiveRequest>();
  readonly queue = new Set<LiveRequest>();
  readonly slots = new Slots();
  readonly turn: Turn;
  readonly preparer: Preparer;
  private readonly placement: Placement;
  private readonly roster: Roster;
  private readonly logs: Logs;
  private readonly inbound: Inbound;
  private readonly inbox: Posted[] = [];
  private stepping = false;
  private planNeeded = false;
  /** Accepted in this turn; `queued` is only news to those who are not started at once. */
  private readonly accepted = new Set<LiveRequest>();

  constructor(
    options: PlacementOptions & { workersPerModel: number },
    private readonly ports: Ports,
    private readonly host: LoopHost,
  ) {
    this.turn = new Turn(ports.clock, () => this.endTurn());
    this.placement = new Placement(options, ports.clock, (id) => this.live.get(id));
    this.roster = new Roster(host.workers, options.workersPerModel);
    this.logs = new Logs(ports, {
      turn: this.turn,
      cancel: (id) => this.cancel(id),
      readersChanged: (log, readers) => host.registry.readersChanged(log, readers),
      ended: (log) => host.registry.ended(log),
    });
    this.preparer = new Preparer({
      nextSlotId: () => this.slots.nextId(),
      workersOf: (modelId) => this.workersOf(modelId),
      prepared: (request, worker) => this.prepared(request, worker),
      unpreparable: (request, code, message, field) =>
        this.unpreparable(request, code, message, field),
      preparerLost: (request, loss) => this.preparerLost(request, loss),
      recount: (worker) => this.recount(worker),
      freed: () => this.wantPlan(),
      isEmpty: (worker) => this.slots.of(worker.id).size === 0,
      isReserved: (worker) => this.isReserved(worker),
    });
    this.inbound = new Inbound(this.slots, this.preparer, (request, event, arrived) =>
      this.post(request, event, arrived),
    );
  }

  /** A request comes in. */
  begin(request: LiveRequest): void {
    this.live.set(request.id, request);
    this.armDeadline(request);
    this.preparer.start(request);
  }

  /** One that had ended already is kept for as long as it would have been. */
  restoreEnded(stored: StoredResponse, ageMs: number): void {
    const log = this.logs.restore(stored);
    this.host.registry.restore(log, stored.acceptance);
    this.host.registry.ended(log, ageMs);
  }

  /** One that an earlier process accepted goes on. */
  restore(request: LiveRequest, stored: StoredResponse): void {
    this.live.set(request.id, request);
    request.log = this.logs.restore(stored);
    const { entries, tokens, acceptance } = stored;
    this.host.registry.restore(request.log, acceptance);
    request.begun = entries.some(({ kind }) => kind === "inProgress");
    this.armDeadline(request);
    const promptTokens = acceptance.promptTokens.length;
    this.post(request, { kind: "restored", promptTokens, emitted: tokens.length });
    if (this.workersOf(request.modelId).length === 0)
      this.post(request, { kind: "unplaceable", code: "model_unavailable" });
  }

  post(request: LiveRequest, event: Request.Event, arrived?: Arrived): void {
    this.inbox.push({ request, event, arrived });
    this.turn.touch();
    if (this.stepping) return;
    this.stepping = true;
    try {
      for (let next = this.inbox.shift(); next !== undefined; next = this.inbox.shift())
        this.step(next);
    } finally {
      this.stepping = false;
    }
  }

  cancel(id: string): void {
    const request = this.live.get(id);
    if (request !== undefined) this.post(request, { kind: "cancel" });
  }

  // What the workers' supervisors tell.

  message(worker: Supervisor, message: RequestMessage): void {
    this.turn.touch();
    this.inbound.receive(worker, message);
  }

  /** A worker has come up, or is itself again. Before it takes work it tries whoever must be alone. */
  workerAvailable(worker: Supervisor): void {
    this.preparer.tryAlone(worker);
    this.workersChanged(worker.model.id);
  }

  /** A worker can take work, or can't any more: who of its model does is reviewed. */
  workersChanged(modelId: string): void {
    for (const worker of this.roster.review(modelId)) this.begins(worker);
  }

  workerDrains(worker: Supervisor): void {
    this.placement.drain(worker.id);
    this.workersChanged(worker.model.id);
  }

  /** Returns how many leases were lost. */
  workerLost(worker: Supervisor, loss: Request.Loss): number {
    const slots = [...this.slots.of(worker.id)];
    for (const slot of slots) this.inbound.number(slot);
    this.placement.lost(worker.id, loss);
    this.inbound.forgetWorker(worker);
    const preparing = this.preparer.held(worker.id) > 0;
    this.preparer.lost(worker, loss);
    for (const { request, lease } of slots)
      this.post(request, { kind: "lost", lease, loss, preparing });
    this.workersChanged(worker.model.id);
    this.wantPlan();
    return slots.length;
  }

  /** No worker of this model works: who is not accepted yet is turned away. */
  modelBroken(modelId: string, reason: string): void {
    for (const request of [...this.live.values()]) {
      if (request.modelId !== modelId || request.log !== undefined) continue;
      request.refusal = noWorker(reason);
      this.post(request, { kind: "cancel" });
    }
  }

  workersOf(modelId: string): Supervisor[] {
    return this.host.workers.filter((worker) => worker.model.id === modelId);
  }

  /** Members that a model's workers could take right now. */
  freeMembers(modelId: string): number {
    return this.workersOf(modelId)
      .filter(({ inService }) => inService)
      .reduce((sum, { id }) => sum + this.placement.freeMembers(id), 0);
  }

  private begins(worker: Supervisor): void {
    this.placement.open(worker, {
      submit: (requestIds) => this.submit(worker, requestIds),
      evict: (requestIds) => this.evict(requestIds),
      rejected: (kind, state, event) => this.observeRejection("Batch", kind, state, event),
    });
    this.wantPlan();
  }

  // The turn.

  private endTurn(): void {
    this.inbound.numberAll();
    if (this.planNeeded) this.plan();
    this.preparer.review();
    this.inbound.acknowledge();
    for (const request of this.accepted)
      if (request.state.kind === "queued" && !request.begun) request.log?.queued();
    this.accepted.clear();
  }

  private wantPlan(): void {
    this.planNeeded = true;
    this.turn.touch();
  }

  private plan(): void {
    this.planNeeded = false;
    if (this.queue.size === 0) return;
    for (const decision of this.placement.plan(this.queue, this.host.workers))
      this.decide(decision);
  }

  private decide(decision: Decision): void {
    const request = this.live.get(decision.requestId);
    if (request === undefined) return;
    switch (decision.kind) {
      case "dispatch":
        this.queue.delete(request);
        return this.post(request, { kind: "dispatch", workerId: decision.workerId });
      case "preempt":
        return this.post(request, { kind: "preempt" });
      case "refuse":
        request.failure = overBudget(decision.needed, decision.limit);
        return this.post(request, { kind: "unplaceable", code: "memory_budget_exceeded" });
    }
  }

  // Requests: transition and effects.

  private step({ request, event, arrived }: Posted): void {
    const from = request.state;
    const outcome = Request.transition(from, event);
    if (!outcome.ok) return this.reject(request, outcome.rejection, event);
    const to = outcome.state;
    request.state = to;
    if (from.kind === "prefilling" && to.kind === "decoding") this.prefilled(request);
    for (const effect of outcome.effects) this.run(request, effect, arrived);
    if (request.slot !== undefined && "lease" in from && !("lease" in to)) this.release(request);
  }

  private reject(request: LiveRequest, rejection: Request.Rejection, event: Request.Event): void {
    const { kind } = request.state;
    this.observeRejection("Request", rejection.kind, kind, event.kind);
    if (rejection.kind !== "illegal" || !("lease" in event)) return;
    const worker = this.workerOf(event.lease.workerId);
    worker?.condemn(`${event.kind} of request ${request.id} while ${kind}`);
  }

  private run(request: LiveRequest, effect: Request.Effect, arrived?: Arrived): void {
    switch (effect.kind) {
      case "prepare":
        return this.preparer.start(request, effect.alone);
      case "accept":
        return this.accept(request);
      case "start":
        return this.start(request, effect);
      case "abort":
        return this.abort(request);
      case "emit":
        return this.emit(request, arrived);
      case "requeue":
        return this.requeue(request);
      case "migrated":
        return request.log?.notify({
          kind: "migrated",
          attempt: effect.attempt,
          reason: effect.loss,
        });
      case "close":
        return this.close(request, effect.finish);
    }
  }

  private accept(request: LiveRequest): void {
    const log = request.storing ?? this.logs.create(request);
    request.storing = undefined;
    // Its tokens are in the log from now on; what they were made of is long, and nobody's any more.
    request.submission = { ...request.submission, input: nothingToPrepare };
    request.log = log;
    const { registry, observers } = this.host;
    registry.add(log, request.submission.abandonment, request.idempotencyId);
    this.accepted.add(request);
    this.requeue(request);
    for (const observer of observers)
      observer.accepted?.(log, { queuedMs: this.ports.clock.now() - request.arrivedAt });
    request.settle.accept(log);
  }

  private requeue(request: LiveRequest): void {
    this.queue.add(request);
    this.wantPlan();
  }

  private start(
    request: LiveRequest,
    { lease, alone }: Extract<Request.Effect, { kind: "start" }>,
  ): void {
    const now = this.ports.clock.now();
    const slot = newSlot(this.slots.nextId(), request, lease, now);
    request.slot = slot;
    request.startedAt ??= now;
    this.slots.add(slot);
    if (!this.placement.join(request, slot, alone)) return this.notHeardOf(slot);
    this.recount(this.workerOf(slot.workerId));
    if (request.begun) return;
    request.begun = true;
    request.log?.inProgress();
  }

  private submit(worker: Supervisor, requestIds: readonly string[]): void {
    const slots = requestIds.flatMap((id) => this.live.get(id)?.slot ?? []);
    sendAdmission(worker, slots, ({ request, lease }, { code, message }) => {
      request.failure = `${promptField}: ${message}`;
      this.post(request, { kind: "refused", lease, code });
    });
  }

  private evict(requestIds: readonly string[]): void {
    for (const id of requestIds) {
      const slot = this.live.get(id)?.slot;
      if (slot !== undefined) this.notHeardOf(slot);
    }
  }

  /** Its worker never heard of it. */
  private notHeardOf({ request, lease }: Slot): void {
    this.post(request, { kind: "lost", lease, loss: "stopped", preparing: false });
  }

  private abort(request: LiveRequest): void {
    const slot = request.slot;
    if (slot === undefined) return;
    // The worker has not heard of it yet: the loop answers itself.
    if (!slot.submitted) return this.post(request, { kind: "aborted", lease: slot.lease });
    this.workerOf(slot.workerId)?.send({ type: "abort", ids: [slot.id] });
  }

  private emit(request: LiveRequest, arrived: Arrived | undefined): void {
    const { log } = request;
    if (arrived === undefined || log === undefined)
      throw new Error(`request ${request.id}: tokens out of nowhere`);
    const now = this.ports.clock.now();
    const first = request.firstTokenAt === undefined;
    request.firstTokenAt ??= now;
    log.emit(arrived.tokens, arrived.text, arrived.logprobs);
    const gapMs = now - (first ? request.arrivedAt : request.lastDeltaAt);
    request.lastDeltaAt = now;
    for (const observer of this.host.observers)
      observer.delta?.(log, { tokens: arrived.tokens.length, gapMs, first });
  }

  private prefilled(request: LiveRequest): void {
    if (request.slot === undefined) return;
    this.placement.prefilled(request, request.slot.workerId);
    this.wantPlan();
  }

  private release(request: LiveRequest): void {
    const slot = request.slot;
    if (slot === undefined) return;
    request.slot = undefined;
    this.slots.delete(slot);
    this.inbound.forgetSlot(slot);
    this.placement.leave(request, slot.workerId);
    this.recount(this.workerOf(slot.workerId));
    this.wantPlan();
  }

  private close(request: LiveRequest, finish: Request.Finish): void {
    this.live.delete(request.id);
    this.queue.delete(request);
    this.accepted.delete(request);
    request.deadline?.cancel();
    this.preparer.drop(request);
    request.storing?.discard();
    const { log } = request;
    if (log === undefined) return this.refuse(request, finish);
    const whole = finish.kind === "stop" || finish.kind === "length" || finish.kind === "toolCalls";
    const wall = this.ports.clock.wall();
    const ending = endingOf(finish, request.failure);
    log.end(ending, whole ? request.tail : "", wall);
    this.observeEnd(request, log, ending);
  }

  private refuse(request: LiveRequest, finish: Request.Finish): void {
    const refusal = request.refusal ?? refusalOf(finish, request.failure, request.failedField);
    for (const observer of this.host.observers)
      observer.refused?.({ code: refusal.code, status: refusal.status, model: request.modelId });
    request.settle.refuse(refusal);
  }

  // Preparation.

  private prepared(request: LiveRequest, worker: Supervisor): void {
    const { limits, sampling } = worker;
    // Reloaded meanwhile: what it prepared for is gone.
    if (limits === undefined) return this.preparer.start(request);
    const promptTokens = request.promptTokens.length;
    const size = sizeOf(promptTokens, request.submission.maxTokens, limits);
    if (!size.fits) return this.unpreparable(request, size.code, size.message, size.field);
    request.maxTokens = size.maxTokens;
    request.cost = size.cost;
    request.sampling = withDefaults(request.submission.sampling, sampling);
    const accept = (): void => this.post(request, { kind: "prepared", promptTokens });
    if (!this.logs.survive(request)) return accept();
    // Nobody hears of it before it is on disk.
    request.storing = this.logs.store(request, {
      onStored: accept,
      onUnstorable: () => this.post(request, { kind: "unstorable" }),
    });
  }

  private preparerLost(request: LiveRequest, loss: Request.Loss): void {
    request.failedField = promptField;
    this.post(request, { kind: "preparerLost", loss });
  }

  private unpreparable(
    request: LiveRequest,
    code: Request.Failure,
    message: string,
    field: string | undefined,
  ): void {
    request.failure = message;
    request.failedField = field;
    this.post(request, { kind: "unpreparable", code });
  }

  // Helpers.

  private armDeadline(request: LiveRequest): void {
    const { deadlineMs } = request.submission;
    if (deadlineMs === undefined) return;
    const expire = (): void => this.post(request, { kind: "deadline" });
    request.deadline = this.ports.clock.after(deadlineMs, expire);
  }

  private workerOf(id: string | undefined): Supervisor | undefined {
    return this.host.workers.find((worker) => worker.id === id);
  }

  private recount(worker: Supervisor | undefined): void {
    if (worker === undefined) return;
    const preparing = this.preparer.held(worker.id);
    worker.holds(this.slots.of(worker.id).size + preparing, preparing);
  }

  private isReserved({ id, model }: Supervisor): boolean {
    const held = [...this.slots.of(id)];
    if (held.length > 0) return held.some(({ request }) => isSuspect(request));
    return [...this.queue].some((one) => one.modelId === model.id && isSuspect(one));
  }

  private observeRejection(machine: string, kind: string, state: string, event: string): void {
    for (const observer of this.host.observers)
      observer.rejection?.({ machine, kind, state, event });
  }

  private observeEnd(request: LiveRequest, log: ResponseLog, ending: Ending): void {
    const { usage } = log;
    const info = { ending, usage, ...timings(request, this.ports.clock.now()) };
    for (const observer of this.host.observers) observer.ended?.(log, info);
  }
}
