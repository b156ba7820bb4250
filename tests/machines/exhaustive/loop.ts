/**
 * The engine loop as `src-ts/engine/{loop,inbound,preparer,batch,placement,turn}.ts` have it: the same
 * rules in the same order, over plain data. Text, sockets, metrics and acknowledgements are left out:
 * with answers of a few tokens no process ever waits for an acknowledgement. Checks what each effect promises.
 */
import * as Batch from "../../../src-ts/machines/Batch.js";
import type * as Request from "../../../src-ts/machines/Request.js";
import type { Loss } from "../../../src-ts/machines/Request.js";
import { strikesMax } from "../../../src-ts/machines/Request.js";
import * as Scheduler from "../../../src-ts/machines/Scheduler.js";
import { type Draft, law } from "./draft.js";
import { obey } from "./process.js";
import { Supervisors } from "./supervisor.js";
import {
  accepts,
  costOf,
  type Down,
  members,
  newRequest,
  promptTokens,
  type RequestPart,
  requestName,
  requestOf,
  type Slot,
  termsOf,
  type Up,
  workerName,
  workerOf,
} from "./world.js";

const planPolicy: Scheduler.Policy = { ...Scheduler.defaultPolicy, imbalanceMax: 2 };
const priorities = ["batch", "interactive", "normal"] as const;

interface Posted {
  readonly request: number;
  readonly event: Request.Event;
  /** What a `tokens` event is about: which token each one said it was. */
  readonly arrived: readonly number[];
}

export class Loop {
  readonly supervisors: Supervisors;
  private readonly inbox: Posted[] = [];
  private stepping = false;
  private planNeeded = false;
  private touched = false;

  constructor(readonly draft: Draft) {
    this.supervisors = new Supervisors(draft, this);
  }

  // What clients and the server say.

  begin(request: number): void {
    this.draft.requests[request] = newRequest;
    if (this.draft.configuration.prepare) return this.startPreparing(request);
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
    }
  }

  // What supervisors tell.

  send(worker: number, frame: Down): void {
    obey(this.draft, worker, frame);
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
    this.prepareWaiting();
    this.wantPlan();
  }

  workerDrains(worker: number): void {
    this.postBatch(worker, { kind: "drain", cause: "restart" });
    this.workersChanged();
  }

  workerLost(worker: number, loss: Loss): void {
    const held = [...this.draft.requests.keys()].filter((r) => this.slotOf(r)?.worker === worker);
    const leases = held.map((request) => this.slotOf(request)?.lease);
    for (const request of held) this.number(request);
    if (loss === "outOfMemory") this.squeeze(worker);
    this.postBatch(worker, { kind: "workerLost" });
    this.draft.changeWorker(worker, { batch: null, windowArmed: false });
    this.losePreparing(worker);
    for (const [index, lease] of leases.entries())
      if (lease) this.post(held[index]!, { kind: "lost", lease, loss });
    this.workersChanged();
    this.prepareWaiting();
    this.wantPlan();
  }

  /** Who ran out of memory gets half as many members, until time has passed: see `moves.ts`. */
  private squeeze(worker: number): void {
    const squeezedTo = Math.max(1, Math.floor(members(this.draft.worker(worker).batch).length / 2));
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
    if (frame.type === "prepared") return void this.prepared(worker, frame.id);
    if (frame.type === "refused" && this.unprepared(worker, frame.id)) return;
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
    this.countStrikes(request, from, event);
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
      return this.post(request, { kind: "lost", lease, loss: "stopped" });
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
    this.draft.changeRequest(request, { closed: true, queued: false, waiting: false });
    this.takePreparing(request);
  }

  /** The law of strikes, counted apart from the machine. */
  private countStrikes(request: number, from: Request.State, event: Request.Event): void {
    const part = this.draft.request(request);
    const ending = from.kind === "cancelling" && from.cause !== "preempted";
    if (ending || !("lease" in from)) return;
    const reached =
      event.kind === "progress"
        ? event.done
        : event.kind === "tokens"
          ? promptTokens + event.index + event.count
          : 0;
    if (reached > part.furthest)
      this.draft.changeRequest(request, { furthest: reached, fruitless: 0 });
    if (event.kind !== "lost") return;
    const struck = event.loss !== "stopped" && part.furthest === part.furthestAtStart;
    const fruitless = part.fruitless + (struck ? 1 : 0);
    this.draft.changeRequest(request, { fruitless });
    const failed = part.state.kind === "done";
    law(failed === fruitless >= strikesMax, `${fruitless} strikes, and ${part.state.kind}`);
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
    this.send(worker, { type: "admit", id: slot.id, emitted: logged });
  }

  private evict(request: number): void {
    const slot = this.slotOf(request);
    law(slot !== null && !slot.submitted, "evicted before it was submitted");
    this.post(request, { kind: "lost", lease: slot.lease, loss: "stopped" });
  }

  // Preparation.

  private startPreparing(request: number): void {
    const accepting = [...this.draft.workers.keys()].filter((w) => accepts(this.draft.worker(w)));
    const [worker] = accepting.toSorted((a, b) => this.preparedBy(a) - this.preparedBy(b));
    if (worker === undefined) return this.draft.changeRequest(request, { waiting: true });
    const id = this.draft.nextSlot();
    this.draft.changeRequest(request, { waiting: false, preparing: { id, worker } });
    this.recount(worker);
    this.send(worker, { type: "prepare", id });
  }

  private prepareWaiting(): void {
    for (const [index, request] of this.draft.requests.entries())
      if (request?.waiting) this.startPreparing(index);
  }

  private losePreparing(worker: number): void {
    for (const [index, request] of this.draft.requests.entries())
      if (request?.preparing?.worker === worker)
        this.draft.changeRequest(index, { preparing: null, waiting: true });
  }

  private takePreparing(request: number): void {
    const { preparing } = this.draft.request(request);
    if (preparing === null) return;
    this.draft.changeRequest(request, { preparing: null });
    this.recount(preparing.worker);
  }

  private preparing(worker: number, id: number): number {
    return this.draft.requests.findIndex(
      (one) => one?.preparing?.id === id && one.preparing.worker === worker,
    );
  }

  private prepared(worker: number, id: number): void {
    const request = this.preparing(worker, id);
    if (request === -1) return;
    this.takePreparing(request);
    this.post(request, { kind: "prepared", promptTokens });
  }

  private unprepared(worker: number, id: number): boolean {
    const request = this.preparing(worker, id);
    if (request === -1) return false;
    this.takePreparing(request);
    this.post(request, { kind: "unpreparable", code: "invalid_prompt" });
    return true;
  }

  private preparedBy(worker: number): number {
    return this.draft.requests.filter((one) => one?.preparing?.worker === worker).length;
  }

  // The plan.

  private wantPlan(): void {
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
    return Batch.transition(batch, { kind: "join", requestId, cost, key: "m", exclusive, at: 0 })
      .ok;
  }

  dispatch(request: number, worker: number): void {
    this.draft.changeRequest(request, { queued: false });
    this.post(request, { kind: "dispatch", workerId: workerName(worker) });
  }

  private plan(): void {
    this.planNeeded = false;
    const workers = [...this.draft.workers.keys()].filter((w) => accepts(this.draft.worker(w)));
    const { decisions } = Scheduler.plan({
      queue: [...this.draft.requests.entries()].flatMap(([index, one]) =>
        one?.queued ? [this.item(index, one)] : [],
      ),
      workers: workers.map((worker) => this.place(worker)),
      shares: [], // one client: its credit is always even
      now: 0,
      policy: planPolicy,
    });
    for (const decision of decisions) this.decide(decision);
  }

  private decide(decision: Scheduler.Decision): void {
    const request = requestOf(decision.requestId);
    law(decision.kind !== "refuse", "everything fits somewhere");
    if (decision.kind === "dispatch") return this.dispatch(request, workerOf(decision.workerId));
    this.postIfLive(request, { kind: "preempt" });
  }

  private item(request: number, part: RequestPart): Scheduler.Item {
    return {
      requestId: requestName(request),
      clientId: "c",
      key: "m",
      priority: priorities[request % priorities.length]!,
      arrivedAt: 0,
      deadlineAt: Number.POSITIVE_INFINITY,
      cost: costOf(this.draft.configuration, part),
      alone: part.state.kind === "queued" && part.state.tally.alone,
      prefixes: [],
    };
  }

  private place(worker: number): Scheduler.Worker {
    const part = this.draft.worker(worker);
    const { batch } = part;
    const present = members(batch);
    const { budget: capacity } = termsOf(this.draft.configuration, part);
    return {
      workerId: workerName(worker),
      key: "m",
      capacity,
      free: batch === null ? { members: 0, kvBytes: 0, prefillTokens: 0 } : Batch.free(batch),
      held: present.some(({ exclusive }) => exclusive),
      running: present.map(({ requestId, cost }) => this.running(requestId, cost)),
    };
  }

  private running(requestId: string, cost: Batch.Cost): Scheduler.Running {
    const request = requestOf(requestId);
    const { kind } = this.draft.request(request).state;
    const priority = priorities[request % priorities.length]!;
    const preemptible = kind === "prefilling" || kind === "decoding";
    return { requestId, priority, arrivedAt: 0, startedAt: 0, cost, preemptible };
  }

  // Helpers.

  private slotOf(request: number): Slot | null {
    return this.draft.requests[request]?.slot ?? null;
  }

  private changeSlot(request: number, change: Partial<Slot>): void {
    const slot = this.slotOf(request);
    if (slot) this.draft.changeRequest(request, { slot: { ...slot, ...change } });
  }

  private recount(worker: number): void {
    const running = this.draft.requests.filter((one) => one?.slot?.worker === worker).length;
    this.supervisors.holds(worker, running + this.preparedBy(worker));
  }
}
