/** The engine's public face: takes submissions, answers questions, starts and stops the orchestrator. */
import type { ServingError } from "../errors.js";
import { failure } from "../failures.js";
import * as Orchestrator from "../machines/Orchestrator.js";
import * as Scheduler from "../machines/Scheduler.js";
import * as Worker from "../machines/Worker.js";
import type { ModelSource, Spelling } from "../worker/messages.js";
import { aliasesOf, modelNamed } from "./aliases.js";
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
  Tokenized,
  WorkerInfo,
} from "./api.js";
import { configOf, loadOptionsOf } from "./config.js";
import { executing } from "./execute.js";
import type { StoredResponse } from "./journal.js";
import { Observers } from "./observers.js";
import { EngineOperator } from "./operator.js";
import type { Ports } from "./ports.js";
import {
  type Identity,
  type LiveRequest,
  newRequest,
  type PromptTokens,
  type Settle,
} from "./requests/content.js";
import { completeSubmission } from "./requests/defaults.js";
import { FakeScript } from "./requests/fake-script.js";
import { retryAfterS, unknownModel } from "./requests/refusals.js";
import { Requests } from "./requests/requests.js";
import { restoring } from "./requests/restored.js";
import type { ResponseLog } from "./responses/log.js";
import { Logs } from "./responses/logs.js";
import { Registry } from "./responses/registry.js";
import { Runner } from "./runner.js";
import { Timelines } from "./timelines.js";
import { Turn } from "./turn.js";
import { isInService, modelInfo, pidOf, type Seen, workerInfo } from "./views.js";
import { Idle, Ready } from "./waiting.js";
import { WorkerShell } from "./workers/shell.js";

/** How long workers get to give their slots back when a drain has run out of time. */
const shutdownGraceMs = 5_000;

/** How somebody who waits may give up. */
interface GivenUp {
  signal: AbortSignal;
  reach: SignalReach;
}

export class WorkerEngine implements Engine {
  readonly operator: EngineOperator;
  /** What is on disk is not waited for any more. */
  private leaving = false;
  private readonly turn: Turn;
  private readonly runner: Runner;
  private readonly requests: Requests;
  private readonly registry: Registry;
  private readonly shells = new Map<string, WorkerShell>();
  private readonly observers = new Observers();
  private readonly drainCallbacks = new Set<(graceMs: number) => void>();
  private readonly ready = new Ready();
  private readonly idle: Idle;
  private readonly timelines: Timelines;
  private newestWorker = 0;
  private readonly script: FakeScript | undefined;
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
    const { retentionBytesMax, retentionMs, queueMax } = options;
    this.startedAt = clock.wall();
    this.timelines = new Timelines(clock);
    this.script = options.fakeScript && new FakeScript(options.fakeScript);
    const cancel = (requestId: string): void => this.runner.post({ kind: "cancel", requestId });
    this.registry = new Registry({ clock, retentionBytesMax, retentionMs, cancel });
    this.turn = new Turn(clock, () => this.runner.post({ kind: "turnEnded" }));
    const logs = new Logs(ports, {
      turn: this.turn,
      cancel,
      readersChanged: (log, readers) => this.registry.readersChanged(log, readers),
      ended: (log) => this.registry.ended(log),
    });
    this.requests = new Requests({
      ...{ clock, logs, queueMax },
      sharesPrefixes: options.prefixSharing === "all",
      registry: this.registry,
      observers: this.observers,
      post: (input) => this.runner.post(input),
      reasonOf: (workerId) => this.shell(workerId).reason?.message,
    });
    this.idle = new Idle(clock, () => this.isIdle);
    for (const model of options.models) this.addWorkers(model);
    this.runner = new Runner(
      configOf(
        options,
        Array.from(this.shells.values(), ({ id, model }) => [id, model.id]),
        { workerPolicy, schedulerPolicy },
      ),
      clock,
      executing({
        timelines: this.timelines,
        turn: this.turn,
        requests: this.requests,
        observers: this.observers,
        shell: (id) => this.shell(id),
        onAvailable: (modelId) => {
          if (modelId === this.defaultModel.id) this.ready.reached();
        },
        onUnloadable: (modelId, error) => {
          if (modelId === this.defaultModel.id) this.ready.failed(error);
        },
        onLeft: (workerId) => void this.shells.delete(workerId),
        onGone: () => this.idle.look(),
      }),
    );
    this.operator = new EngineOperator({
      timelines: this.timelines,
      requests: this.requests.live,
      view: () => Orchestrator.view(this.runner.orchestrator),
      cancel,
      kill: (id) => this.crash(id),
      clock,
    });
  }

  get draining(): boolean {
    return Orchestrator.isDraining(this.runner.orchestrator);
  }

  /** Takes up what earlier processes left, and starts the workers. */
  start(): void {
    for (const stored of this.ports.journal?.takeRestored() ?? []) this.restore(stored);
    this.runner.post({ kind: "start" });
  }

  submit(
    input: SubmissionInput,
    signal?: AbortSignal,
    reach: SignalReach = "always",
  ): Promise<Response> {
    const submission = this.complete(input);
    return this.registry.once(submission, (idempotencyId) =>
      this.admit(submission, idempotencyId, signal && { signal, reach }),
    );
  }

  async countTokens(input: SubmissionInput, signal?: AbortSignal): Promise<number> {
    return (await this.promptOf(this.complete(input), undefined, signal)).tokens.length;
  }

  async tokenize(
    input: SubmissionInput,
    spell: Spelling,
    signal?: AbortSignal,
  ): Promise<Tokenized> {
    const submission = this.complete(input);
    const prompt = await this.promptOf(submission, spell, signal);
    return { model: submission.model ?? this.defaultModel.id, ...prompt };
  }

  private promptOf(
    submission: Submission,
    spell: Spelling | undefined,
    signal: AbortSignal | undefined,
  ): Promise<PromptTokens> {
    const ending: GivenUp | undefined = signal && { signal, reach: "always" };
    return new Promise((tokenized, refuse) => {
      const accept = (): void => refuse(new TypeError("what is only read is never accepted"));
      this.enter(submission, undefined, { accept, refuse, tokenized, spell }, ending);
    });
  }

  get(id: string, owner: string): Response | undefined {
    return this.registry.find(id, owner);
  }

  cancel(id: string, owner: string): boolean {
    if (this.registry.find(id, owner) === undefined) return false;
    this.runner.post({ kind: "cancel", requestId: id });
    return true;
  }

  async delete(id: string, owner: string): Promise<boolean> {
    if (!this.cancel(id, owner)) return false;
    const { store } = this.registry.find(id, owner)!;
    this.registry.forget(id);
    if (store) await this.ports.journal?.settled();
    return true;
  }

  models(): ModelInfo[] {
    return this.options.models.map((model, index) =>
      modelInfo(model, {
        isDefault: index === 0,
        aliases: aliasesOf(model.id, this.options.aliases),
        workers: this.workersOf(model.id),
        startedAtMs: this.startedAt,
      }),
    );
  }

  workers(): WorkerInfo[] {
    const view = Orchestrator.view(this.runner.orchestrator);
    return view.workers.map((one) =>
      workerInfo({ shell: this.shell(one.workerId), view: one }, view),
    );
  }

  readiness(): Readiness {
    if (this.draining) return { ready: false, reason: "draining", retryAfterS };
    const workers = this.workersOf(this.defaultModel.id);
    if (workers.some(({ view }) => isInService(view))) return { ready: true };
    const states = workers.map(({ view: { state }, shell: { reason } }) =>
      reason === undefined ? state.kind : `${state.kind} (${reason.message})`,
    );
    return {
      ready: false,
      reason: `no worker of ${this.defaultModel.id} is ready: ${states.join(", ")}`,
      retryAfterS,
    };
  }

  restartWorker(id: string): boolean {
    if (!this.shells.has(id)) return false;
    this.runner.post({ kind: "restartWorker", workerId: id });
    return true;
  }

  /** A worker more of this model; returns its id. Throws 404 for a model that is not served. */
  addWorker(modelId: string): string {
    const model = this.options.models.find(({ id }) => id === modelId);
    if (model === undefined)
      throw unknownModel(
        modelId,
        this.options.models.map(({ id }) => id),
      );
    const { id: workerId } = this.newShell(model);
    this.runner.post({ kind: "join", workerId, modelId });
    return workerId;
  }

  /** It takes nothing new, and goes when its requests have ended. False if there is no such worker. */
  async removeWorker(id: string): Promise<boolean> {
    const shell = this.shells.get(id);
    if (shell === undefined) return false;
    const stopped = this.stopped(shell);
    this.runner.post({ kind: "leave", workerId: id });
    await stopped;
    return true;
  }

  async drain(timeoutMs: number): Promise<void> {
    if (!this.draining) {
      this.runner.post({ kind: "drain" });
      for (const callback of this.drainCallbacks) callback(timeoutMs);
    }
    await this.idle.reached(timeoutMs);
    this.shutDown();
    await this.idle.reached(shutdownGraceMs);
  }

  onDraining(callback: (graceMs: number) => void): void {
    this.drainCallbacks.add(callback);
  }

  whenReady(): Promise<void> {
    return this.readiness().ready ? Promise.resolve() : this.ready.wait();
  }

  observe(observer: EngineObserver): () => void {
    return this.observers.add(observer);
  }

  async close(): Promise<void> {
    this.shutDown();
    this.runner.post({ kind: "stop" });
    await Promise.all(Array.from(this.shells.values(), (shell) => this.stopped(shell)));
    await this.ports.journal?.close();
    this.registry.close();
    this.ready.failed(failure("closed"));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The orchestrator orders it, and hears of it as of any death. */
  private crash(workerId: string): boolean {
    const view = Orchestrator.viewWorker(this.runner.orchestrator, workerId);
    if (view === undefined || pidOf(view.state) === undefined) return false;
    this.runner.post({ kind: "killWorker", workerId });
    return true;
  }

  private stopped(shell: WorkerShell): Promise<void> {
    const view = Orchestrator.viewWorker(this.runner.orchestrator, shell.id);
    return view?.state.kind === "stopped" ? Promise.resolve() : shell.whenStopped();
  }

  private shutDown(): void {
    this.leaving = true;
    this.runner.post({ kind: "shutDown" });
  }

  /** One that had ended already is kept for as long as it would have been. */
  private restore(stored: StoredResponse): void {
    const { clock } = this.ports;
    const last = stored.entries.at(-1);
    if (last?.kind === "ended") {
      this.requests.restoreEnded(stored, clock.wall() - last.endedAt);
      return;
    }
    const { identity } = this.requests.restore(stored);
    this.timelines.arrived(identity.id, identity.modelId, identity.asked.priority);
    this.runner.post(restoring(identity, stored));
  }

  private complete(input: SubmissionInput): Submission {
    const ids = this.options.models.map(({ id }) => id);
    const name = input.model;
    const model = name === undefined ? undefined : modelNamed(name, ids, this.options.aliases);
    return completeSubmission({ ...input, model }, this.ports.random);
  }

  private get defaultModel(): ModelSource {
    const [first] = this.options.models;
    if (first === undefined) throw new RangeError("models: at least one is needed");
    return first;
  }

  private admit(
    submission: Submission,
    idempotencyId: string | undefined,
    ending: GivenUp | undefined,
  ): Promise<ResponseLog> {
    return new Promise((accept, refuse) =>
      this.enter(submission, idempotencyId, { accept, refuse }, ending),
    );
  }

  private enter(
    submission: Submission,
    idempotencyId: string | undefined,
    settle: Settle,
    ending: GivenUp | undefined,
  ): void {
    const refusal = this.refusal(submission, settle.tokenized !== undefined);
    if (refusal !== undefined) {
      const { code, status } = refusal;
      // What clients invent must not become a label of a metric.
      const known = this.options.models.some(({ id }) => id === submission.model);
      const model = known ? submission.model : undefined;
      this.observers.tell("refused", { code, status, model });
      return settle.refuse(refusal);
    }
    const request = this.newRequest(submission, idempotencyId, settle);
    const cancel = (): void => {
      if (ending?.reach === "always" || request.phase.kind !== "accepted")
        this.runner.post({ kind: "cancel", requestId: request.identity.id });
    };
    if (ending?.signal.aborted) queueMicrotask(cancel);
    else ending?.signal.addEventListener("abort", cancel, { once: true });
    this.begin(request.identity);
  }

  private begin({ id: requestId, modelId, asked }: Identity): void {
    const { clientId, priority, deadlineMs, maxTokens: tokensWanted, store, reading } = asked;
    this.runner.post({
      kind: "submit",
      submission: {
        ...{ requestId, modelId, clientId, priority, tokensWanted },
        deadlineMs: deadlineMs ?? Number.POSITIVE_INFINITY,
        survives: store && this.ports.journal !== undefined,
        ...(reading && { reading: true }),
      },
    });
  }

  /** What the orchestrator can't know: which models there are, and whether the log can be written. */
  private refusal(
    { model, store, reading }: Submission,
    isRead: boolean,
  ): ServingError | undefined {
    const { journal } = this.ports;
    if (store && !this.draining && journal?.failing !== undefined) return journal.failing;
    const ids = this.options.models.map(({ id }) => id);
    const modelId = model ?? this.defaultModel.id;
    if (this.draining) return undefined;
    if (!ids.includes(modelId)) return unknownModel(modelId, ids);
    return isRead ? undefined : this.inability(modelId, reading);
  }

  /** What its model can't, as far as a worker has loaded it; a worker says the same of it. */
  private inability(id: string, reading: Submission["reading"]): ServingError | undefined {
    const loaded = this.workersOf(id).find(({ shell }) => shell.abilities !== undefined);
    const { generates = true, dimensions = 1 } = loaded?.shell.abilities ?? {};
    if (reading?.kind === "embed")
      return dimensions === 0 ? failure("model_has_no_vectors", { id, param: "model" }) : undefined;
    return generates ? undefined : failure("model_makes_no_text", { id, param: "model" });
  }

  private newRequest(
    submission: Submission,
    idempotencyId: string | undefined,
    settle: Settle,
  ): LiveRequest {
    const request = newRequest({
      id: this.ports.ids.response(submission.idPrefix),
      modelId: submission.model ?? this.defaultModel.id,
      submission,
      // What is only read uses nothing up.
      fakeSay:
        settle.tokenized || submission.reading ? undefined : this.script?.choose(submission.input),
      idempotencyId,
      settle,
      now: this.ports.clock.now(),
    });
    this.requests.add(request);
    // What is only counted is no request to whoever watches.
    if (settle.tokenized === undefined) {
      const { id, modelId, asked } = request.identity;
      this.timelines.arrived(id, modelId, asked.priority);
    }
    return request;
  }

  private shell(id: string): WorkerShell {
    const shell = this.shells.get(id);
    if (shell === undefined) throw new Error(`there is no worker ${id}`);
    return shell;
  }

  private workersOf(modelId: string): Seen[] {
    return Array.from(this.shells.values())
      .filter(({ model }) => model.id === modelId)
      .map((shell) => ({
        shell,
        view: Orchestrator.viewWorker(this.runner.orchestrator, shell.id)!,
      }));
  }

  private addWorkers(model: ModelSource): void {
    const { workersPerModel, spareWorkersPerModel } = this.options;
    for (let i = 0; i < workersPerModel + spareWorkersPerModel; i++) this.newShell(model);
  }

  private newShell(model: ModelSource): WorkerShell {
    const id = `w${++this.newestWorker}`;
    const { engine } = this.options;
    const options = { id, engine, model, load: loadOptionsOf(this.options) };
    const shell = new WorkerShell(options, this.ports, {
      observers: this.observers,
      post: (input, said) => this.runner.post(input, said),
      arrive: (workerId, rows) => this.requests.arrive(workerId, rows),
      read: (workerId, slot, read) => this.requests.read(workerId, slot, read),
      prepared: (slot, prompt) => this.requests.prepared(slot, prompt),
    });
    this.shells.set(id, shell);
    return shell;
  }

  /** Nothing runs that this process has to end. */
  private get isIdle(): boolean {
    for (const { phase } of this.requests.live.values())
      if (!this.leaving || phase.kind !== "accepted" || !phase.log.survives) return false;
    return true;
  }
}
