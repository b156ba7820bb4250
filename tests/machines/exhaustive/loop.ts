/**
 * The engine loop as `src-ts/engine/{loop,inbound,preparer,batch,placement,turn}.ts` have it: the same
 * rules in the same order, over plain data. Text, sockets, metrics and acknowledgements are left out:
 * with answers of a few tokens no process ever waits for an acknowledgement. Checks what each effect promises.
 */
import * as Batch from "../../../src-ts/machines/Batch.js";
import type * as Request from "../../../src-ts/machines/Request.js";
import type { Loss } from "../../../src-ts/machines/Request.js";
import type * as Scheduler from "../../../src-ts/machines/Scheduler.js";
import { type Draft, law } from "./draft.js";
import { decisionsOf } from "./plan.js";
import { checkFailure } from "./poison.js";
import { Preparer } from "./preparer.js";
import { countStrikes } from "./strikes.js";
import { Supervisors } from "./supervisor.js";
import { obey } from "./wire.js";
import {
  accepts,
  costOf,
  type Down,
  members,
  newRequest,
  promptTokens,
  requestName,
  requestOf,
  type Slot,
  slotsOf,
  termsOf,
  type Up,
  workerName,
  workerOf,
} from "./world.js";

interface Posted {
  readonly request: number;
  readonly event: Request.Event;
  /** What a `tokens` event is about: which token each one said it was. */
  readonly arrived: readonly number[];
}

export class Loop {
  readonly supervisors: Supervisors;
  private readonly preparer: Preparer;
  private readonly inbox: Posted[] = [];
  private stepping = false;
  private planNeeded = false;
  private touched = false;

  constructor(readonly draft: Draft) {
    this.supervisors = new Supervisors(draft, this);
    this.preparer = new Preparer(draft, this);
  }

  // What clients and the server say.

  begin(request: number): void {
    this.draft.requests[request] = newRequest;
    if (this.draft.configuration.prepare) return this.preparer.start(request, false);
    this.post(request, { kind: "prepared", promptTokens });
  }

  /** Accepted by an earlier server, with tokens out. */
  restore(request: number, emitted: number): void {
    const furthest = promptTokens + emitted;
    const before = { logged: emitted, accepted: true, furthest };
    this.draft.requests[request] = { ...newRequest, ...before };
    this.post(request, { kind: "restored", promptTokens, emitted });
  }

  shutDown(): void {
    for (const [index, request] of this.draft.requests.entries())
      if (request !== null && !request.closed) this.post(index, { kind: "shutdown" });
  }

  /** A request that has ended is not live any more: nobody posts to it. */
  postIfLive(request: number, event: Request.Event): void {
    if (!this.draft.request(request).closed) this.post(request, event);
  }

  post(request: number, event: Request.Event, arrived: readonly number[] = []): void {
    this.inbox.push({ request, event, arrived });
    this.touched = true;
    if (this.stepping) return;
    this.stepping = true;
    for (let next = this.inbox.shift(); next !== undefined; next = this.inbox.shift())
      this.step(next);
    this.stepping = false;
  }

  /** Turns, until there is nothing more to do. */
  endTurn(): void {
    while (this.touched) {
      this.touched = false;
      for (const request of this.draft.requests.keys()) this.number(request);
      if (this.planNeeded && this.draft.configuration.plan === "real") this.plan();
      this.preparer.review();
    }
  }

  // What supervisors tell.

  send(worker: number, frame: Down): void {
    obey(this.draft, worker, frame);
  }

  /** Before it takes work it tries whoever must be alone. */
  workerAvailable(worker: number): void {
    this.preparer.tryAlone(worker);
    this.workersChanged();
  }

  /** As the roster has it: whoever stands by takes the place of who is not available any more. */
  workersChanged(): void {
    const { workers, configuration } = this.draft;
    for (const [worker, { available }] of workers.entries())
      if (!available) this.draft.changeWorker(worker, { onDuty: false });
    const working = workers.filter(({ onDuty }) => onDuty).length;
    const free = Math.max(0, configuration.workers - configuration.spares - working);
    const standing = [...workers.keys()].filter(
      (w) => workers[w]!.available && !workers[w]!.onDuty,
    );
    const beginning = standing.slice(0, free);
    for (const worker of beginning) this.draft.changeWorker(worker, { onDuty: true });
    for (const worker of beginning) this.begins(worker);
  }

  private begins(worker: number): void {
    const part = this.draft.worker(worker);
    if (part.batch === null)
      this.draft.changeWorker(worker, {
        batch: Batch.initial(termsOf(this.draft.configuration, part)),
      });
    this.wantPlan();
  }

  workerDrains(worker: number): void {
    this.postBatch(worker, { kind: "drain", cause: "restart" });
    this.workersChanged();
  }

  workerLost(worker: number, loss: Loss): void {
    const held = slotsOf(this.draft, worker);
    const leases = held.map((request) => this.slotOf(request)?.lease);
    for (const request of held) this.number(request);
    if (loss === "outOfMemory") this.squeeze(worker);
    this.postBatch(worker, { kind: "workerLost" });
    this.draft.changeWorker(worker, { batch: null, windowArmed: false });
    const preparing = this.preparer.held(worker) > 0;
    this.preparer.lost(worker, loss);
    for (const [index, lease] of leases.entries())
      if (lease) this.post(held[index]!, { kind: "lost", lease, loss, preparing });
    this.workersChanged();
    this.wantPlan();
  }

  /** Who ran out of memory gets half as many members, until time has passed: see `moves.ts`. */
  private squeeze(worker: number): void {
    const { length } = members(this.draft.worker(worker).batch);
    if (length === 0) return;
    const squeezedTo = Math.max(1, Math.floor(length / 2));
    this.draft.changeWorker(worker, { squeezedTo });
  }

  modelBroken(): void {
    for (const [index, request] of this.draft.requests.entries())
      if (request !== null && !request.accepted) this.postIfLive(index, { kind: "cancel" });
  }

  // What workers say of requests.

  receive(worker: number, frame: Up): void {
    if (!("id" in frame)) return;
    this.touched = true;
    if (frame.type === "prepared") return this.preparer.prepared(worker, frame.id);
    if (frame.type === "unpreparable") return this.preparer.unpreparable(worker, frame.id);
    const request = this.draft.requests.findIndex((one) => one?.slot?.id === frame.id);
    if (request === -1) return;
    if (frame.type === "token") return this.arrive(worker, request, frame.index);
    if (this.slotOf(request)!.worker !== worker) return this.supervisors.condemn(worker);
    this.number(request);
    this.slotMessage(request, frame);
  }

  private slotMessage(request: number, frame: Up): void {
    const slot = this.slotOf(request);
    if (slot === null) return;
    const { lease } = slot;
    switch (frame.type) {
      case "prefill":
        return this.post(request, {
          kind: "progress",
          lease,
          done: frame.done,
          total: frame.total,
        });
      case "aborted":
        return this.post(request, { kind: "aborted", lease });
      case "refused":
        return this.post(request, { kind: "refused", lease, code: "invalid_prompt" });
      default:
        return this.post(request, { kind: "ended", lease, finish: { kind: "length" } });
    }
  }

  private arrive(worker: number, request: number, index: number): void {
    const slot = this.slotOf(request)!;
    const expected = this.draft.request(request).logged + slot.tokens.length;
    const isTooMany = expected >= this.draft.configuration.tokensMax;
    if (isTooMany && !this.draft.omits("limit of tokens")) return this.supervisors.condemn(worker);
    if (slot.worker !== worker || (index !== expected && this.listensTo(request)))
      return this.supervisors.condemn(worker);
    this.changeSlot(request, { tokens: [...slot.tokens, index] });
  }

  /** Tokens of who is being ended are dropped: the log stands still while the worker goes on. */
  private listensTo(request: number): boolean {
    const { state } = this.draft.request(request);
    if (state.kind !== "cancelling") return true;
    return state.cause === "preempted" && !this.draft.omits("index of the preempted");
  }

  /** What has arrived becomes one event of its request. */
  private number(request: number): void {
    const slot = this.slotOf(request);
    if (!slot || slot.tokens.length === 0) return;
    const { lease, tokens } = slot;
    if (!this.draft.omits("tokens of one event")) this.changeSlot(request, { tokens: [] });
    const index = this.draft.omits("right index") ? 0 : this.draft.request(request).logged;
    this.post(request, { kind: "tokens", lease, index, count: tokens.length }, tokens);
  }

  // Requests: transition and effects.

  private step({ request, event, arrived }: Posted): void {
    const part = this.draft.request(request);
    const from = part.state;
    const outcome = this.draft.machinery.request(from, event);
    if (!outcome.ok) return this.reject(request, outcome.rejection, event);
    const to = outcome.state;
    this.draft.changeRequest(request, { state: to });
    countStrikes(this.draft, request, from, event);
    if (from.kind === "prefilling" && to.kind === "decoding") this.prefilled(request);
    for (const effect of outcome.effects) this.run(request, effect, arrived);
    if (this.slotOf(request) && "lease" in from && !("lease" in to)) this.release(request);
  }

  private reject(request: number, { kind }: Request.Rejection, event: Request.Event): void {
    if (kind !== "illegal") return;
    const from = this.draft.request(request).state.kind;
    const says = `${requestName(request)} hears ${event.kind} while ${from}: illegal, and honest`;
    law(this.draft.liar !== undefined && "lease" in event, says);
    this.supervisors.condemn(workerOf(event.lease.workerId));
  }

  private run(request: number, effect: Request.Effect, arrived: readonly number[]): void {
    const part = this.draft.request(request);
    law(!part.closed, "nothing comes after close");
    switch (effect.kind) {
      case "prepare":
        return this.preparer.start(request, effect.alone);
      case "accept":
        this.draft.changeRequest(request, { accepted: true });
        return this.requeue(request);
      case "start":
        return this.start(request, effect);
      case "abort":
        return this.abort(request);
      case "emit":
        return this.emit(request, effect, arrived);
      case "requeue":
        return this.requeue(request);
      case "migrated":
        return;
      case "close":
        return this.close(request, effect.finish);
    }
  }

  private requeue(request: number): void {
    law(this.draft.request(request).state.kind === "queued", "only who is queued waits");
    this.draft.changeRequest(request, { queued: true });
    this.wantPlan();
  }

  private start(
    request: number,
    { lease, resumeAt, alone }: Extract<Request.Effect, { kind: "start" }>,
  ): void {
    const part = this.draft.request(request);
    law(part.slot === null, "one live lease at a time");
    law(resumeAt === part.logged, "generation goes on where the log ends");
    const worker = workerOf(lease.workerId);
    const id = this.draft.nextSlot();
    const slot = { id, worker, lease, submitted: false, abortSent: false, tokens: [] };
    this.draft.changeRequest(request, { slot, furthestAtStart: part.furthest });
    if (!this.join(request, worker, alone))
      return this.post(request, { kind: "lost", lease, loss: "stopped", preparing: false });
    this.recount(worker);
  }

  private join(request: number, worker: number, exclusive: boolean): boolean {
    const part = this.draft.request(request);
    const cost = costOf(this.draft.configuration, part);
    const requestId = requestName(request);
    const joined = this.postBatch(worker, {
      kind: "join",
      requestId,
      cost,
      key: "m",
      exclusive,
      at: 0,
    });
    law(joined, "who is dispatched fits: the plan only uses what is free");
    return joined;
  }

  private abort(request: number): void {
    const slot = this.slotOf(request);
    law(slot !== null, "only who has a slot is aborted");
    law(!slot.abortSent, "one abort a lease");
    this.changeSlot(request, { abortSent: true });
    if (!slot.submitted) return this.post(request, { kind: "aborted", lease: slot.lease });
    if (!this.draft.omits("abort")) this.send(slot.worker, { type: "abort", id: slot.id });
  }

  private emit(
    request: number,
    { index, count }: Extract<Request.Effect, { kind: "emit" }>,
    arrived: readonly number[],
  ): void {
    const { slot, logged } = this.draft.request(request);
    law(slot !== null, "only tokens under a lease are emitted");
    law(index === logged, "indices are 0, 1, 2, … without gaps");
    const said = arrived.join();
    const should = Array.from({ length: count }, (_, i) => index + i).join();
    law(said === should, `the log gets the tokens it says: [${should}], not [${said}]`);
    this.draft.changeRequest(request, { logged: logged + count });
  }

  private prefilled(request: number): void {
    const slot = this.slotOf(request);
    if (!slot) return;
    this.postBatch(slot.worker, { kind: "prefilled", requestId: requestName(request) });
    this.wantPlan();
  }

  private release(request: number): void {
    const slot = this.slotOf(request)!;
    if (this.draft.omits("release")) return;
    this.draft.changeRequest(request, { slot: null });
    this.postBatch(slot.worker, { kind: "leave", requestId: requestName(request) });
    this.recount(slot.worker);
    this.wantPlan();
  }

  private close(request: number, finish: Request.Finish): void {
    const { state } = this.draft.request(request);
    law(state.kind === "done" && state.finish.kind === finish.kind, "closed as it is done");
    const over = { closed: true, queued: false, waiting: false, suspect: false };
    this.draft.changeRequest(request, over);
    checkFailure(this.draft, request, finish);
    this.preparer.drop(request);
  }

  // Batches.

  private postBatch(worker: number, event: Batch.Event): boolean {
    const { batch } = this.draft.worker(worker);
    if (batch === null) return false;
    const outcome = this.draft.machinery.batch(batch, event);
    if (!outcome.ok) {
      law(outcome.rejection.kind !== "illegal", `a batch hears ${event.kind}: illegal`);
      return false;
    }
    this.draft.changeWorker(worker, { batch: outcome.state });
    for (const effect of outcome.effects) this.runBatch(worker, effect);
    return true;
  }

  private runBatch(worker: number, effect: Batch.Effect): void {
    switch (effect.kind) {
      case "arm":
        if (!this.draft.omits("window timer"))
          this.draft.changeWorker(worker, { windowArmed: true });
        return;
      case "submit":
        for (const id of effect.requestIds) this.submit(worker, requestOf(id));
        return;
      case "evict":
        for (const id of effect.requestIds) this.evict(requestOf(id));
        return;
      case "released":
        return;
      case "closed":
        return this.draft.changeWorker(worker, { windowArmed: false });
    }
  }

  windowElapsed(worker: number): void {
    this.draft.changeWorker(worker, { windowArmed: false });
    this.touched = true;
    this.postBatch(worker, { kind: "windowElapsed" });
  }

  private submit(worker: number, request: number): void {
    const { slot, logged } = this.draft.request(request);
    law(slot?.worker === worker && !slot.submitted, "submitted once, where its slot is");
    this.changeSlot(request, { submitted: true });
    const deadly = this.draft.configuration.poison === "run" && request === 0;
    this.send(worker, { type: "admit", id: slot.id, emitted: logged, deadly });
  }

  private evict(request: number): void {
    const slot = this.slotOf(request);
    law(slot !== null && !slot.submitted, "evicted before it was submitted");
    this.post(request, { kind: "lost", lease: slot.lease, loss: "stopped", preparing: false });
  }

  // The plan.

  wantPlan(): void {
    this.planNeeded = true;
    this.touched = true;
  }

  /** Whether the scheduler may send this request there now. */
  hasRoom(request: number, worker: number): boolean {
    const { batch } = this.draft.worker(worker);
    const part = this.draft.request(request);
    if (!accepts(this.draft.worker(worker)) || batch === null || part.state.kind !== "queued")
      return false;
    const cost = costOf(this.draft.configuration, part);
    const exclusive = part.state.tally.alone;
    const requestId = requestName(request);
    if (exclusive && this.preparer.held(worker) > 0 && !this.draft.omits("room of a suspect"))
      return false;
    return Batch.transition(batch, { kind: "join", requestId, cost, key: "m", exclusive, at: 0 })
      .ok;
  }

  dispatch(request: number, worker: number): void {
    this.draft.changeRequest(request, { queued: false });
    this.post(request, { kind: "dispatch", workerId: workerName(worker) });
  }

  private plan(): void {
    this.planNeeded = false;
    for (const decision of decisionsOf(this.draft)) this.decide(decision);
  }

  private decide(decision: Scheduler.Decision): void {
    const request = requestOf(decision.requestId);
    law(decision.kind !== "refuse", "everything fits somewhere");
    if (decision.kind === "dispatch") return this.dispatch(request, workerOf(decision.workerId));
    this.postIfLive(request, { kind: "preempt" });
  }

  // Helpers.

  private slotOf(request: number): Slot | null {
    return this.draft.requests[request]?.slot ?? null;
  }

  private changeSlot(request: number, change: Partial<Slot>): void {
    const slot = this.slotOf(request);
    if (slot) this.draft.changeRequest(request, { slot: { ...slot, ...change } });
  }

  recount(worker: number): void {
    const preparing = this.preparer.held(worker);
    this.supervisors.holds(worker, slotsOf(this.draft, worker).length + preparing, preparing);
  }
}
