/**
 * The engine as the routes see it: what a key may not have never reaches it, and what was had is counted when it
 * ends. Every API comes through here, so that none forgets a limit.
 */
import type {
  Engine,
  EngineObserver,
  ModelInfo,
  Operator,
  ReaderLag,
  Readiness,
  Response,
  ResponseUsage,
  SignalReach,
  Spelling,
  StorageInfo,
  SubmissionInput,
  Tokenized,
  WorkerInfo,
} from "../../engine/api.js";
import { failure } from "../../failures.js";
import type { KeyEntry } from "../../keys/entry.js";
import type { Keys } from "./keys.js";
import type { Limits } from "./limits.js";
import type { Use } from "./use.js";

/** What takes the submissions of one call of a client. */
export type Submitter = Pick<Engine, "submit">;

/** The engine, and what a server asks of it beside. */
export interface ServedEngine extends Engine {
  /**
   * Takes one call that makes several responses: it is one request of its key, and of `perPrompt` answers to one
   * prompt the prompt counts once. Throws what its key may not.
   */
  together(submissions: readonly SubmissionInput[], perPrompt: number): Submitter;
  /** Those that this owner may use. */
  modelsFor(owner: string): ModelInfo[];
}

interface Running {
  use: Use;
  owner: string;
  /** Another answer to the same prompt counts it. */
  sharesPrompt: boolean;
}

export class Gate implements ServedEngine {
  private readonly running = new Map<string, Running>();

  constructor(
    private readonly engine: Engine,
    private readonly keys: Keys,
    private readonly limits: Limits,
  ) {
    engine.observe({
      accepted: (response) => this.accepted(response),
      ended: (response, { usage }) => this.ended(response, usage),
    });
  }

  submit(
    submission: SubmissionInput,
    signal?: AbortSignal,
    reach?: SignalReach,
  ): Promise<Response> {
    try {
      return this.together([submission], 1).submit(submission, signal, reach);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  together(submissions: readonly SubmissionInput[], perPrompt: number): Submitter {
    const [first] = submissions;
    const key = this.permitted(first!);
    if (key === undefined) return this.engine;
    const use = this.limits.enter(key, submissions.length);
    let index = 0;
    return {
      submit: async (submission, signal, reach) => {
        const sharesPrompt = index++ % perPrompt > 0;
        const priority = this.keys.priorityFor(submission.owner!, submission.priority);
        const limited = priority === undefined ? submission : { ...submission, priority };
        try {
          const response = await this.engine.submit(limited, signal, reach);
          const running = this.running.get(response.id);
          if (running !== undefined && sharesPrompt) running.sharesPrompt = true;
          return response;
        } finally {
          use.entering--;
        }
      },
    };
  }

  async tokenize(
    submission: SubmissionInput,
    spell: Spelling,
    signal?: AbortSignal,
  ): Promise<Tokenized> {
    this.enterWithoutAnswer(submission);
    return this.engine.tokenize(submission, spell, signal);
  }

  async countTokens(submission: SubmissionInput, signal?: AbortSignal): Promise<number> {
    this.enterWithoutAnswer(submission);
    return this.engine.countTokens(submission, signal);
  }

  modelsFor(owner: string): ModelInfo[] {
    const allowed = this.keys.find(owner)?.models;
    const all = this.engine.models();
    return allowed === undefined ? all : all.filter((model) => isAllowed(model, allowed));
  }

  /** A request of its key that makes no response. Throws what its key may not. */
  private enterWithoutAnswer(submission: SubmissionInput): void {
    const key = this.permitted(submission);
    if (key !== undefined) this.limits.enter(key, 0);
  }

  /** Throws 401 for a key that is no more, 403 for a model that it may not use. Undefined: there are no keys. */
  private permitted({ owner = "", model }: SubmissionInput): KeyEntry | undefined {
    const key = this.keys.check(owner);
    if (key?.models === undefined) return key;
    const name = model ?? this.engine.models().find(({ isDefault }) => isDefault)?.id;
    const known = this.engine
      .models()
      .find(({ id, aliases }) => id === name || aliases.includes(name!));
    const may = known === undefined ? key.models.includes(name!) : isAllowed(known, key.models);
    if (may) return key;
    this.limits.of(key).refuse("models");
    throw failure("model_not_allowed", { models: key.models, param: "model" });
  }

  private accepted({ id, owner }: Response): void {
    const key = this.keys.find(owner);
    if (key === undefined) return;
    const use = this.limits.of(key);
    use.running++;
    this.running.set(id, { use, owner, sharesPrompt: false });
  }

  /** Also of a response that an earlier process has accepted: nothing of it is counted yet. */
  private ended({ id, owner }: Response, { promptTokens, completionTokens }: ResponseUsage): void {
    const running = this.running.get(id);
    this.running.delete(id);
    if (running !== undefined) running.use.running--;
    const key = this.keys.find(owner);
    const use = running?.use ?? (key && this.limits.of(key));
    if (use === undefined) return;
    this.limits.settle(use, key, running?.sharesPrompt ? 0 : promptTokens, completionTokens);
  }

  // The rest is the engine's own.

  get operator(): Operator {
    return this.engine.operator;
  }

  get(id: string, owner: string): Response | undefined {
    return this.engine.get(id, owner);
  }

  cancel(id: string, owner: string): boolean {
    return this.engine.cancel(id, owner);
  }

  delete(id: string, owner: string): Promise<boolean> {
    return this.engine.delete(id, owner);
  }

  models(): ModelInfo[] {
    return this.engine.models();
  }

  workers(): WorkerInfo[] {
    return this.engine.workers();
  }

  storage(): StorageInfo | undefined {
    return this.engine.storage();
  }

  readerLag(): ReaderLag {
    return this.engine.readerLag();
  }

  readiness(): Readiness {
    return this.engine.readiness();
  }

  restartWorker(id: string): boolean {
    return this.engine.restartWorker(id);
  }

  drain(timeoutMs: number): Promise<void> {
    return this.engine.drain(timeoutMs);
  }

  get draining(): boolean {
    return this.engine.draining;
  }

  onDraining(callback: (graceMs: number) => void): void {
    this.engine.onDraining(callback);
  }

  whenReady(): Promise<void> {
    return this.engine.whenReady();
  }

  observe(observer: EngineObserver): () => void {
    return this.engine.observe(observer);
  }

  close(): Promise<void> {
    return this.engine.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.engine[Symbol.asyncDispose]();
  }
}

function isAllowed({ id, aliases }: ModelInfo, allowed: readonly string[]): boolean {
  return [id, ...aliases].some((name) => allowed.includes(name));
}
