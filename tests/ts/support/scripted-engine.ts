/**
 * An engine whose responses a test writes itself: the real log, turns and registry, and no machine,
 * no worker, no model. By default it answers every request with a short text.
 */
import type {
  Ending,
  Engine,
  EngineObserver,
  ModelInfo,
  NativeInfo,
  Operator,
  ReaderLag,
  Readiness,
  Response,
  StorageInfo,
  Submission,
  SubmissionInput,
  Timeline,
  Tokenized,
  WorkerInfo,
} from "../../../src-ts/engine/api.js";
import { systemClock, systemIds } from "../../../src-ts/engine/clock.js";
import { operationOf } from "../../../src-ts/engine/requests/content.js";
import {
  completeSubmission,
  neutralSampling,
  withDefaults,
} from "../../../src-ts/engine/requests/defaults.js";
import { ResponseLog } from "../../../src-ts/engine/responses/log.js";
import { Registry } from "../../../src-ts/engine/responses/registry.js";
import { Turn } from "../../../src-ts/engine/turn.js";
import { ServingError } from "../../../src-ts/errors.js";
import { unpackTokens } from "../../../src-ts/worker/link.js";
import type {
  Piece,
  PrepareInput,
  Spelling,
  StepRow,
  TokenLogprob,
} from "../../../src-ts/worker/messages.js";
import { abilities, nativeFigures, nativeParts } from "./native-figures.js";

/** A running response, in a test's hands. */
export interface Run {
  readonly log: ResponseLog;
  readonly submission: Submission;
  start(): void;
  emit(text: string, logprobs?: readonly TokenLogprob[]): void;
  /** Pieces that came with one token. */
  speak(...pieces: Piece[]): void;
  end(ending: Ending): void;
}

export type Script = (run: Run) => void;

export const helloParts = ["Hello", ", ", "wörld", ' – "quoted"\n', "🌍"];
export const hello = helloParts.join("");

/** One part a turn of the loop, then the end. */
export function say(parts: readonly string[], ending: Ending = { kind: "stop" }): Script {
  return (run) => {
    run.start();
    const next = (index: number) => {
      const part = parts[index];
      if (run.log.ending !== undefined) return;
      if (part === undefined) run.end(ending);
      else {
        run.emit(part, logprobsFor(run.submission, part));
        setImmediate(next, index + 1);
      }
    };
    setImmediate(next, 0);
  };
}

/** Starts and leaves the rest to the test. */
export const hold: Script = (run) => run.start();

export function logprobsFor(submission: Submission, text: string): TokenLogprob[] {
  const { logprobs } = submission.sampling;
  if (logprobs < 0) return [];
  const bytes = [...Buffer.from(text)];
  const one = { token: text, bytes, logprob: -0.5 };
  return [{ ...one, top: Array.from({ length: logprobs }, () => one) }];
}

const promptTokens = 7;

function customToolsOf(input: PrepareInput): ReadonlySet<string> {
  const { tools = [] } = (input.kind === "chat" && input.tools) || {};
  return new Set(tools.filter(({ custom }) => custom).map(({ name }) => name));
}

function aborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) resolve();
    else signal?.addEventListener("abort", () => resolve());
  });
}

export class ScriptedEngine implements Engine {
  script: Script = say(helloParts);
  /** Set: `submit` rejects with it. */
  refusal: ServingError | undefined;
  /** Set: `submit` waits for it, as if the prompt was being prepared. */
  preparing: Promise<void> | undefined;
  readiness_: Readiness = { ready: true };
  models_: ModelInfo[] = [
    {
      id: "org/first",
      created: 1_700_000_000,
      aliases: [],
      isDefault: true,
      format: "safetensors",
      contextMax: 4096,
      ready: true,
      abilities,
    },
    {
      id: "second",
      created: 1_700_000_001,
      aliases: [],
      isDefault: false,
      format: "gguf",
      contextMax: undefined,
      ready: false,
      abilities: undefined,
    },
  ];
  native: NativeInfo | null = {
    parts: nativeParts,
    metrics: nativeFigures.metrics,
    pool: nativeFigures.pool,
  };
  /** Set before a server is made of it: it has a data folder. */
  storage_: StorageInfo | undefined;
  /** Of its one worker, beside what it always tells. */
  telemetry: Record<string, unknown> = {};
  draining = false;
  /** Its model's reasoning can't be bounded. */
  unbounded = false;
  readonly submissions: Submission[] = [];
  readonly runs: Run[] = [];
  readonly restarted: string[] = [];
  readonly killed: string[] = [];
  readonly timelines = new Map<string, Timeline>();
  /** How often somebody had a look. */
  views = 0;
  readonly operator: Operator = {
    view: (requestsMax) => {
      this.views++;
      const live = this.runs.filter(({ log }) => log.ending === undefined);
      const requests = live.slice(0, requestsMax).map(({ log, submission }) => ({
        ...{ id: log.id, model: log.model, state: "decoding" as const, workerId: "w1" },
        ...{ priority: submission.priority, arrivedAtMs: log.createdAt },
        ...{ promptTokens, maxTokens: log.maxTokens, cachedTokens: log.cachedTokens },
        ...{ prefill: undefined, emitted: log.tokens.length, attempts: 1, ttftMs: 2 },
      }));
      return { requests, requestCount: live.length, batches: [], ended: [] };
    },
    timeline: (id) => this.timelines.get(id),
    cancel: (id) => {
      if (!this.runs.some(({ log }) => log.id === id && log.ending === undefined)) return false;
      this.cancelById(id);
      return true;
    },
    killWorker: (id) => id === "w1" && this.killed.push(id) > 0,
  };
  /** Submissions that were given up before they were accepted. */
  givenUp = 0;
  private readonly observers = new Set<EngineObserver>();
  private readonly drainCallbacks: ((graceMs: number) => void)[] = [];
  private readonly turn = new Turn(systemClock, () => {});
  private readonly registry = new Registry({
    clock: systemClock,
    retentionBytesMax: 2 ** 30,
    retentionMs: 60_000,
    cancel: (id) => this.cancelById(id),
  });

  submit(input: SubmissionInput, signal?: AbortSignal): Promise<Response> {
    const submission = completeSubmission(input, Math.random);
    return this.registry.once(submission, (idempotencyId) =>
      this.accept(submission, idempotencyId, signal),
    );
  }

  private async accept(
    submission: Submission,
    idempotencyId: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<ResponseLog> {
    this.submissions.push(submission);
    await Promise.race([this.preparing, aborted(signal)]);
    if (signal?.aborted) {
      this.givenUp++;
      throw new ServingError("cancelled", { code: "cancelled", status: 499 });
    }
    if (this.draining)
      throw new ServingError("draining", { code: "server_draining", status: 503, retryAfterS: 3 });
    if (this.refusal !== undefined) throw this.refusal;
    const log = this.newLog(submission, idempotencyId);
    signal?.addEventListener("abort", () => this.cancelById(log.id));
    const run = this.newRun(log, submission);
    this.runs.push(run);
    for (const observer of this.observers) observer.accepted?.(log, { queuedMs: 0 });
    if (submission.reading === undefined) this.script(run);
    else this.read(run, submission);
    return log;
  }

  /** A vector of its length's digits a text; each byte of a score is as likely as the next. */
  private read({ log, start, end }: Run, { input, reading }: Submission): void {
    start();
    const texts = input.kind === "texts" ? input.texts : [];
    const vectors = texts.map(({ length }) => Float32Array.of(length % 10, 1));
    const bytes = input.kind === "text" ? [...Buffer.from(input.text)] : [];
    const top = reading?.kind === "score" ? reading.top : 0;
    log.reading = {
      vectors: Buffer.concat(vectors.map(({ buffer }) => new Uint8Array(buffer))),
      logprobs: bytes.map((byte, i) => {
        const one = { token: String.fromCharCode(byte), bytes: [byte] };
        const likely = { ...one, logprob: -0.25 };
        const others = Array.from({ length: i === 0 ? 0 : top }, () => likely);
        return { ...one, logprob: i === 0 ? null : -0.25, top: others };
      }),
    };
    setImmediate(() => end({ kind: "stop" }));
  }

  private newLog(submission: Submission, idempotencyId: string | undefined): ResponseLog {
    const log = new ResponseLog(
      {
        id: systemIds.response(submission.idPrefix),
        model: submission.model ?? "org/first",
        owner: submission.owner,
        createdAt: Date.now(),
        store: submission.store,
        echo: submission.echo,
        conversation: submission.conversation,
        maxTokens: submission.maxTokens ?? 4096,
        sampling: withDefaults(submission.sampling, { ...neutralSampling, temperature: 0.5 }),
        promptTokens: new Uint32Array(promptTokens),
        customTools: customToolsOf(submission.input),
      },
      {
        turn: this.turn,
        cancel: (id) => this.cancelById(id),
        readersChanged: (changed, readers) => this.registry.readersChanged(changed, readers),
        ended: (ended) => this.registry.ended(ended),
      },
    );
    log.isUnbounded = this.unbounded;
    log.create();
    this.registry.add(log, submission.abandonment, idempotencyId);
    return log;
  }

  private newRun(log: ResponseLog, submission: Submission): Run {
    return {
      log,
      submission,
      start: () => {
        log.queued();
        log.cachedTokens = 3;
        log.inProgress();
      },
      emit: (text, [logprob, ...more] = []) => {
        const rest = more.map((one): StepRow => [1, 0, 1, "", one]);
        this.emit(log, [[1, 0, 1, text, logprob], ...rest]);
      },
      speak: (...pieces) => this.emit(log, [[1, 0, 1, pieces]]),
      end: (ending) => this.end(log, ending),
    };
  }

  private emit(log: ResponseLog, rows: readonly StepRow[]): void {
    log.emit(rows);
    const info = { tokens: 1, gapMs: 2, first: log.tokens.length === 1 };
    for (const observer of this.observers) observer.delta?.(log, info);
  }

  private end(log: ResponseLog, ending: Ending): void {
    if (log.ending !== undefined) return;
    log.end(ending, "", Date.now());
    const { usage, calls } = log;
    const submission = this.runs.find((run) => run.log === log)?.submission;
    const asked = {
      operation: operationOf(submission?.input.kind === "chat", submission?.reading),
      origin: submission?.origin,
    };
    const info = { ending, usage, calls, e2eMs: 10, queueMs: 1, ttftMs: 2, ...asked };
    for (const observer of this.observers) observer.ended?.(log, info);
  }

  private cancelById(id: string): void {
    const run = this.runs.find(({ log }) => log.id === id);
    if (run !== undefined) this.end(run.log, { kind: "cancelled" });
  }

  async countTokens(input: SubmissionInput): Promise<number> {
    this.submissions.push(completeSubmission(input, Math.random));
    if (this.refusal !== undefined) throw this.refusal;
    return promptTokens;
  }

  /** A token a byte; tokens say their numbers. */
  async tokenize(input: SubmissionInput, spell: Spelling): Promise<Tokenized> {
    const submission = completeSubmission(input, Math.random);
    this.submissions.push(submission);
    if (this.refusal !== undefined) throw this.refusal;
    const asked = submission.input;
    const tokens =
      asked.kind === "tokens"
        ? unpackTokens(asked.tokens)
        : Uint32Array.from(Buffer.from(asked.kind === "text" ? asked.text : "chat"));
    const pieces = Array.from(tokens, (token) => `<${token}>`);
    return {
      model: submission.model ?? "org/first",
      tokens,
      ...(spell.text && { text: pieces.join("") }),
      ...(spell.pieces && { pieces }),
    };
  }

  get(id: string, owner: string): Response | undefined {
    return this.registry.find(id, owner);
  }

  cancel(id: string, owner: string): boolean {
    if (this.registry.find(id, owner) === undefined) return false;
    this.cancelById(id);
    return true;
  }

  async delete(id: string, owner: string): Promise<boolean> {
    return this.cancel(id, owner) && this.registry.forget(id);
  }

  models(): ModelInfo[] {
    return this.models_;
  }

  workers(): WorkerInfo[] {
    return [
      {
        id: "w1",
        model: "org/first",
        state: "ready",
        role: "active",
        epoch: 1,
        pid: 4242,
        restarts: 2,
        running: this.runs.filter(({ log }) => log.ending === undefined).length,
        prefilling: 0,
        decoding: 0,
        cancelling: 0,
        queued: 5,
        preparing: 1,
        storing: 0,
        backend: "fake <&> backend",
        versions: {},
        limits: {
          ...{ contextMax: 4096, kvBudgetBytes: 1000, kvAloneBytes: 1500 },
          ...{ kvBytesPerToken: 23, kvBits: 8, weightsBytes: 1 },
        },
        loading: undefined,
        reason: undefined,
        telemetry: { kvBytes: 250, ...this.telemetry },
        native: this.native,
      },
    ];
  }

  storage(): StorageInfo | undefined {
    return this.storage_;
  }

  readerLag(): ReaderLag {
    return this.registry.readerLag();
  }

  readiness(): Readiness {
    return this.draining ? { ready: false, reason: "draining", retryAfterS: 2 } : this.readiness_;
  }

  restartWorker(id: string): boolean {
    if (id !== "w1") return false;
    this.restarted.push(id);
    return true;
  }

  async drain(timeoutMs: number): Promise<void> {
    this.draining = true;
    for (const callback of this.drainCallbacks) callback(timeoutMs);
    const running = () => this.runs.filter(({ log }) => log.ending === undefined);
    const until = Date.now() + timeoutMs;
    while (running().length > 0 && Date.now() < until) await new Promise((r) => setTimeout(r, 5));
    for (const { log } of running())
      this.end(log, { kind: "failed", code: "server_shutdown", message: "the server went away" });
  }

  onDraining(callback: (graceMs: number) => void): void {
    this.drainCallbacks.push(callback);
  }

  async whenReady(): Promise<void> {}

  observe(observer: EngineObserver): () => void {
    this.observers.add(observer);
    return () => this.observers.delete(observer);
  }

  /** What the engine does when a response moves to another worker. */
  migrate(run: Run, attempt: number): void {
    const reason = "workerLost";
    run.log.notify({ kind: "migrated", attempt, reason });
    const { origin } = run.submission;
    this.tellObservers(({ migrated }) => migrated?.(run.log, { attempt, reason, origin }));
  }

  tellObservers(tell: (observer: EngineObserver) => void): void {
    for (const observer of this.observers) tell(observer);
  }

  async close(): Promise<void> {
    this.registry.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
