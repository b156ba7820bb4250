/** The engine's public face: takes submissions, answers questions, starts and stops workers. */
import type { ServingError } from "../errors.js";
import { failure } from "../failures.js";
import * as Scheduler from "../machines/Scheduler.js";
import * as Worker from "../machines/Worker.js";
import type { LoadOptions, ModelSource } from "../worker/messages.js";
import type {
  Engine,
  EngineObserver,
  EngineOptions,
  ModelInfo,
  Readiness,
  Response,
  SignalReach,
  Submission,
  SubmissionInput,
  WorkerInfo,
} from "./api.js";
import { completeSubmission } from "./defaults.js";
import type { StoredResponse } from "./journal.js";
import type { ResponseLog } from "./log.js";
import { Loop } from "./loop.js";
import type { Ports } from "./ports.js";
import { isDraining, noWorker, queueFull, retryAfterS, unknownModel } from "./refusals.js";
import { Registry } from "./registry.js";
import { type LiveRequest, newRequest } from "./request.js";
import { restoredRequest } from "./restored.js";
import { Supervisor, type SupervisorHost } from "./supervisor.js";
import { modelInfo, workerInfo } from "./views.js";
import { workerEvents } from "./worker-events.js";

const prefillChunkTokens = 512;
const unackedStepsMax = 16;
/** How long workers get to give their slots back when a drain has run out of time. */
const shutdownGraceMs = 5_000;

export class WorkerEngine implements Engine {
  draining = false;
  /** What is on disk is not waited for any more. */
  private leaving = false;
  private closing = false;
  private readonly loop: Loop;
  private readonly registry: Registry;
  private readonly supervisors: Supervisor[] = [];
  private readonly observers = new Set<EngineObserver>();
  private readonly drainCallbacks = new Set<(graceMs: number) => void>();
  private readyWaiters: { resolve(): void; reject(error: Error): void }[] = [];
  /** Why the default model could not be loaded; undefined once it was. */
  private loadFailure: Error | undefined;
  private idleWaiters: (() => void)[] = [];
  private readonly startedAt: number;

  constructor(
    private readonly options: EngineOptions,
    private readonly ports: Ports,
    workerPolicy: Worker.Policy = Worker.defaultPolicy,
    schedulerPolicy: Scheduler.Policy = {
      ...Scheduler.defaultPolicy,
      imbalanceMax: options.maxBatch,
    },
  ) {
    const { clock } = ports;
    const { retentionBytesMax, retentionMs, maxBatch, workersPerModel } = options;
    this.startedAt = clock.wall();
    this.registry = new Registry({
      clock,
      retentionBytesMax,
      retentionMs,
      cancel: (id) => this.loop.cancel(id),
    });
    this.observers.add({ ended: () => this.noteIdle(), refused: () => this.noteIdle() });
    this.loop = new Loop({ maxBatch, workersPerModel, policy: schedulerPolicy }, ports, {
      registry: this.registry,
      workers: this.supervisors,
      observers: this.observers,
    });
    const host = workerEvents({
      loop: this.loop,
      observers: this.observers,
      onAvailable: (modelId) => {
        if (modelId === this.defaultModel.id) this.noteReady();
      },
      onUnloadable: (modelId, error) => {
        if (modelId === this.defaultModel.id) this.failReady(error);
      },
    });
    for (const model of options.models) this.supervise(model, host, workerPolicy);
  }

  /** Takes up what earlier processes left, and starts the workers. */
  start(): void {
    for (const stored of this.ports.journal?.takeRestored() ?? []) this.restore(stored);
    for (const supervisor of this.supervisors) supervisor.post({ kind: "start" });
  }

  submit(
    input: SubmissionInput,
    signal?: AbortSignal,
    reach: SignalReach = "always",
  ): Promise<Response> {
    const submission = completeSubmission(input, this.ports.random);
    return this.registry.once(submission, (idempotencyId) =>
      this.admit(submission, idempotencyId, signal && { signal, reach }),
    );
  }

  get(id: string, owner: string): Response | undefined {
    return this.registry.find(id, owner);
  }

  cancel(id: string, owner: string): boolean {
    if (this.registry.find(id, owner) === undefined) return false;
    this.loop.cancel(id);
    return true;
  }

  delete(id: string, owner: string): boolean {
    if (!this.cancel(id, owner)) return false;
    return this.registry.forget(id);
  }

  models(): ModelInfo[] {
    return this.options.models.map((model, index) =>
      modelInfo(model, index === 0, this.loop.workersOf(model.id), this.startedAt),
    );
  }

  workers(): WorkerInfo[] {
    return this.supervisors.map((supervisor) => workerInfo(supervisor, this.loop));
  }

  readiness(): Readiness {
    if (this.draining) return { ready: false, reason: "draining", retryAfterS };
    const workers = this.loop.workersOf(this.defaultModel.id);
    if (workers.some(({ inService }) => inService)) return { ready: true };
    const states = workers.map(({ state, reason }) =>
      reason === undefined ? state.kind : `${state.kind} (${reason.message})`,
    );
    return {
      ready: false,
      reason: `no worker of ${this.defaultModel.id} is ready: ${states.join(", ")}`,
      retryAfterS,
    };
  }

  restartWorker(id: string): boolean {
    const supervisor = this.supervisors.find((worker) => worker.id === id);
    if (supervisor === undefined) return false;
    // Who is being stopped for good must not come back.
    if (this.closing) return true;
    const { kind } = supervisor.state;
    const resting = kind === "stopped" || kind === "broken" || kind === "backoff";
    supervisor.post({ kind: resting ? "start" : "restart" });
    return true;
  }

  async drain(timeoutMs: number): Promise<void> {
    if (!this.draining) {
      this.draining = true;
      for (const callback of this.drainCallbacks) callback(timeoutMs);
    }
    await this.idle(timeoutMs);
    this.shutDown();
    await this.idle(shutdownGraceMs);
  }

  onDraining(callback: (graceMs: number) => void): void {
    this.drainCallbacks.add(callback);
  }

  whenReady(): Promise<void> {
    if (this.readiness().ready) return Promise.resolve();
    if (this.loadFailure !== undefined) return Promise.reject(this.loadFailure);
    return new Promise((resolve, reject) => this.readyWaiters.push({ resolve, reject }));
  }

  observe(observer: EngineObserver): () => void {
    this.observers.add(observer);
    return () => this.observers.delete(observer);
  }

  async close(): Promise<void> {
    this.draining = true;
    this.closing = true;
    this.shutDown();
    await Promise.all(this.supervisors.map((supervisor) => supervisor.stop()));
    await this.ports.journal?.close();
    this.registry.close();
    this.failReady(failure("closed"));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What is on disk is left to the next process; the rest fails. */
  private shutDown(): void {
    this.leaving = true;
    for (const request of [...this.loop.live.values()]) {
      if (request.log?.survives) request.log.interrupt(isDraining());
      else this.loop.post(request, { kind: "shutdown" });
    }
  }

  private restore(stored: StoredResponse): void {
    const { clock } = this.ports;
    const last = stored.entries.at(-1);
    if (last?.kind === "ended") this.loop.restoreEnded(stored, clock.wall() - last.endedAt);
    else this.loop.restore(restoredRequest(stored.acceptance, clock), stored);
  }

  private get defaultModel(): ModelSource {
    const [first] = this.options.models;
    if (first === undefined) throw new RangeError("models: at least one is needed");
    return first;
  }

  private admit(
    submission: Submission,
    idempotencyId: string | undefined,
    ending: { signal: AbortSignal; reach: SignalReach } | undefined,
  ): Promise<ResponseLog> {
    const refusal = this.refusal(submission);
    if (refusal !== undefined) {
      const { code, status } = refusal;
      // What clients invent must not become a label of a metric.
      const known = this.options.models.some(({ id }) => id === submission.model);
      const model = known ? submission.model : undefined;
      for (const observer of this.observers) observer.refused?.({ code, status, model });
      return Promise.reject(refusal);
    }
    return new Promise((accept, refuse) => {
      const request = this.newRequest(submission, idempotencyId, { accept, refuse });
      const cancel = (): void => {
        if (ending?.reach === "always" || request.log === undefined) this.loop.cancel(request.id);
      };
      if (ending?.signal.aborted) queueMicrotask(cancel);
      else ending?.signal.addEventListener("abort", cancel, { once: true });
      this.loop.begin(request);
    });
  }

  private refusal({ model, store }: Submission): ServingError | undefined {
    if (this.draining) return isDraining();
    const { journal } = this.ports;
    if (store && journal?.failing !== undefined) return journal.failing;
    const ids = this.options.models.map(({ id }) => id);
    const modelId = model ?? this.defaultModel.id;
    if (!ids.includes(modelId)) return unknownModel(modelId, ids);
    const { queueMax } = this.options;
    const waiting = this.waiting();
    if (waiting >= queueMax + this.loop.freeMembers(modelId)) return queueFull(queueMax);
    const workers = this.loop.workersOf(modelId);
    const broken = workers.every(({ state }) => state.kind === "broken");
    return broken ? this.brokenRefusal(workers) : undefined;
  }

  private brokenRefusal(workers: readonly Supervisor[]): ServingError {
    const reason = workers[0]?.reason?.message ?? "all workers are broken";
    return noWorker(reason, Math.ceil(Worker.defaultPolicy.probeMs / 1000));
  }

  /** Requests that no worker runs yet. */
  private waiting(): number {
    let count = 0;
    for (const { state } of this.loop.live.values())
      if (state.kind === "preparing" || state.kind === "queued") count++;
    return count;
  }

  private newRequest(
    submission: Submission,
    idempotencyId: string | undefined,
    settle: LiveRequest["settle"],
  ): LiveRequest {
    return newRequest({
      id: this.ports.ids.response(submission.idPrefix),
      modelId: submission.model ?? this.defaultModel.id,
      submission,
      idempotencyId,
      settle,
      now: this.ports.clock.now(),
    });
  }

  private supervise(model: ModelSource, host: SupervisorHost, policy: Worker.Policy): void {
    const { workersPerModel, spareWorkersPerModel } = this.options;
    for (let i = 0; i < workersPerModel + spareWorkersPerModel; i++) {
      const id = `w${this.supervisors.length + 1}`;
      const load = this.loadOptions();
      const { engine } = this.options;
      this.supervisors.push(new Supervisor({ id, engine, model, load, policy }, this.ports, host));
    }
  }

  private loadOptions(): LoadOptions {
    const { maxBatch, contextMax, memoryBudgetBytes, device } = this.options;
    const { prefixCacheBytes, prefixCacheShare, controlTokens, fakeTokensPerSecond } = this.options;
    return {
      maxBatch,
      contextMax,
      memoryBudgetBytes,
      device,
      prefillChunkTokens,
      prefixCacheBytes,
      prefixCacheShare,
      unackedStepsMax,
      deterministic: maxBatch === 1,
      controlTokens,
      fakeTokensPerSecond,
      fakeLoadMs: 0,
    };
  }

  private noteReady(): void {
    this.loadFailure = undefined;
    const waiters = this.readyWaiters;
    this.readyWaiters = [];
    for (const { resolve } of waiters) resolve();
  }

  private failReady(error: Error): void {
    this.loadFailure = error;
    const waiters = this.readyWaiters;
    this.readyWaiters = [];
    for (const { reject } of waiters) reject(error);
  }

  private noteIdle(): void {
    if (!this.isIdle) return;
    const waiters = this.idleWaiters;
    this.idleWaiters = [];
    for (const resolve of waiters) resolve();
  }

  /** Nothing runs that this process has to end. */
  private get isIdle(): boolean {
    for (const { log } of this.loop.live.values())
      if (!this.leaving || !log?.survives) return false;
    return true;
  }

  private idle(timeoutMs: number): Promise<void> {
    if (this.isIdle) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.ports.clock.after(timeoutMs, resolve);
      this.idleWaiters.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }
}
