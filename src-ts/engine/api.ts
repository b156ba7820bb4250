/**
 * What the engine offers to whoever serves it (HTTP, WebSocket, a program). Types only; `engine.ts`
 * implements them. Times are milliseconds; `…At` is wall-clock milliseconds unless it says otherwise.
 */
import type { ServingError } from "../errors.js";
import type { NativeMetrics, NativeParts, NativePool } from "../worker/figures.js";
import type {
  Abilities,
  Constraint,
  PrepareInput,
  ReadLogprob,
  Sampling,
  SamplingDefaults,
  Spelling,
  TokenLogprob,
} from "../worker/messages.js";
import type { Conversation } from "./conversation.js";
import type { LiveView, Timeline } from "./live.js";

export type {
  DiskFigures,
  GrammarFigures,
  NativeMetrics,
  NativePart,
  NativePartStatus,
  NativeParts,
  NativePool,
  PrefixFigures,
} from "../worker/figures.js";
export type { Abilities, Constraint, ReadLogprob, Spelling } from "../worker/messages.js";
export type { Conversation } from "./conversation.js";
export type { BatchInfo, LiveView, RequestInfo, Timeline, Transition } from "./live.js";

export type Priority = "interactive" | "normal" | "batch";

/** How a response ended; see the table of endings in docs/PROTOCOL.md. */
export type Ending =
  /** `sequence`: the stop string that ended it, if one did. */
  | { kind: "stop"; sequence?: string }
  | { kind: "length" }
  | { kind: "toolCalls" }
  | { kind: "cancelled" }
  | { kind: "expired" }
  | { kind: "failed"; code: string; message: string };

export interface ResponseUsage {
  promptTokens: number;
  /** Of them, found in a prefix cache. */
  cachedTokens: number;
  completionTokens: number;
  /** Of them, read inside of reasoning. */
  reasoningTokens: number;
  /** Of them, and none of those: tokens of which the model had no choice. Absent: none. */
  forcedTokens?: number;
}

/** Calls of tools in one response. `complete`: of them, those that were not broken off. */
export interface CallCounts {
  made: number;
  complete: number;
}

/** A thing that a response's output consists of. */
export type Item =
  /** What is said to whoever asked. */
  | { kind: "message" }
  | { kind: "functionCall"; callId: string; name: string }
  | { kind: "customToolCall"; callId: string; name: string }
  | { kind: "reasoning" };

/**
 * One numbered entry of a response's log. Its number is its index: 0, 1, 2, … Entries map one to one
 * to the events of the Responses API; everything that an event needs and an entry lacks stands in the
 * log's header or in the entries before it, so that a log is the same for every reader.
 *
 * `index`: the item's place in the output; `part`: a part's place in its item; both count from 0. Messages and
 * reasoning have parts that are added and done; a call's arguments, or its input, are part 0, without more ado.
 */
export type LogEntry =
  | { kind: "created" }
  | { kind: "queued" }
  | { kind: "inProgress" }
  | { kind: "itemAdded"; index: number; item: Item }
  | { kind: "partAdded"; index: number; part: number }
  /** `tokens`: how many tokens this text took; `logprobs` only if asked for. */
  | {
      kind: "delta";
      index: number;
      part: number;
      text: string;
      tokens: number;
      logprobs?: readonly TokenLogprob[];
    }
  /** All text of this part is there. */
  | { kind: "textDone"; index: number; part: number }
  | { kind: "partDone"; index: number; part: number }
  /** `incomplete`: of a call that was broken off. */
  | { kind: "itemDone"; index: number; incomplete?: true }
  | { kind: "ended"; ending: Ending; usage: ResponseUsage; endedAt: number };

export interface OutputPart {
  readonly text: string;
  /** Only if asked for. */
  readonly logprobs: readonly TokenLogprob[];
}

/** What a log's entries say of one item, taken together. */
export interface OutputItem {
  readonly item: Item;
  readonly parts: readonly OutputPart[];
  readonly isDone: boolean;
  /** A call that was broken off. */
  readonly isIncomplete: boolean;
}

/** A remark beside the log: it has no number of its own and repeats the one before it. */
export type Notice = { kind: "migrated"; attempt: number; reason: string };

/** What happens to a running response when its last reader has gone. */
export type Abandonment = { kind: "cancel" } | { kind: "grace"; ms: number } | { kind: "keep" };

/**
 * Sampling parameters, those with a default of the model's own optional. `seed`: any integer, taken
 * modulo 2^64.
 */
export type SamplingRequest = Omit<Sampling, keyof SamplingDefaults | "seed"> & {
  [K in keyof SamplingDefaults]?: SamplingDefaults[K] | undefined;
} & { seed: number | bigint };

/** What is wanted of a prompt in place of an answer: a vector of each text, or the log probability of each token. */
export type ReadingRequest = { kind: "embed" } | { kind: "score"; top: number };

/** What has come of it. `vectors`: little-endian float32, of all texts one after another. */
export interface ReadingResult {
  vectors: Uint8Array | undefined;
  logprobs: ReadLogprob[];
}

/** The client's call that a submission comes from. Observers are told it; it is kept with no response. */
export interface Origin {
  /** `x-request-id`. */
  requestId: string;
  /** W3C trace context, as the client has sent it. */
  traceparent?: string | undefined;
  tracestate?: string | undefined;
}

/** What is asked of a model. */
export type Operation = "chat" | "completion" | "embedding" | "score";

/** A request as the engine takes it: parsed and validated. */
export interface Submission {
  /** Undefined: the default model. */
  model?: string | undefined;
  input: PrepareInput;
  /** What it leaves out is taken from the model's own defaults. */
  sampling: SamplingRequest;
  /** What the answer is kept to. */
  constraint?: Constraint | undefined;
  /** What its sender calls it, to name it in a refusal. */
  constraintName?: string | undefined;
  /** The same of a tool: where a pointer, which begins with the tool's name, leads in the body. */
  toolField?: ((pointer: string) => string | undefined) | undefined;
  /**
   * Tokens to generate at most; undefined: what the context leaves, at most 4,096. 0: the prompt is
   * computed and kept for the next request that begins with it, and the response completes without output.
   */
  maxTokens?: number | undefined;
  /** With `maxTokens` 0. Input of several texts has one. */
  reading?: ReadingRequest | undefined;
  /** Whose response this is: nobody else can see it. */
  owner: string;
  /** Who shares fairly with whom: the key, else the address. */
  clientId: string;
  priority: Priority;
  /** From now on; undefined: none. */
  deadlineMs?: number | undefined;
  /** Keep it after its end (`store: true`), within the limits of the registry. */
  store: boolean;
  abandonment: Abandonment;
  /** `fingerprint`: of the body; the same key with another fingerprint is a conflict (409). */
  idempotency?: { key: string; fingerprint: string } | undefined;
  /** Opaque and JSON-serializable: what a renderer needs to show the request again. */
  echo?: unknown;
  /** What the prompt says, for whoever goes on from the response; it is kept with it. */
  conversation?: Conversation | undefined;
  /** Prefix of the response id: `resp`, `chatcmpl`, `cmpl`. */
  idPrefix: string;
  origin?: Origin | undefined;
}

/** The tokens of a prompt. `text`: what all of them say, `pieces`: what each does; only if asked for. */
export interface Tokenized {
  model: string;
  tokens: Uint32Array;
  text?: string | undefined;
  pieces?: readonly string[] | undefined;
}

/**
 * What `submit` takes: only `input` is needed. Left out, `owner` is "local", `clientId` the owner,
 * `priority` normal, `store` false, `abandonment` keep, the seed random, and no penalty, bias, stop
 * string or log probability is asked for.
 */
export type SubmissionInput = Pick<Submission, "input"> &
  Partial<Omit<Submission, "input" | "sampling">> & { sampling?: Partial<SamplingRequest> };

/**
 * What an aborted signal still ends: only a request that has not been accepted (what is accepted is left
 * to `abandonment`), or whatever runs. Default: always.
 */
export type SignalReach = "preparing" | "always";

/** A response: its header, its log, and how to follow it. */
export interface Response {
  readonly id: string;
  readonly model: string;
  readonly owner: string;
  readonly createdAt: number;
  readonly store: boolean;
  readonly echo: unknown;
  /** Undefined: nobody can go on from it. */
  readonly conversation: Conversation | undefined;
  readonly maxTokens: number;
  /** With every default resolved. */
  readonly sampling: Sampling;
  /** Prompt token ids: rendered once, never again. */
  readonly promptTokens: Uint32Array;
  /** Emitted token ids. A token exists once it is here. */
  readonly tokens: readonly number[];
  /** Numbered entries; an entry's number is its index. */
  readonly entries: readonly LogEntry[];
  /** The items so far, by their `index`. They grow. */
  readonly output: readonly OutputItem[];
  /** All text of its messages so far. */
  readonly text: string;
  /** Its reasoning was to be bounded, and that of its model can't be. Told to who asked, and not kept. */
  readonly isUnbounded: boolean;
  /** Known once `queued` has become `inProgress`; before that it is zero. */
  readonly cachedTokens: number;
  /** Of `text`. */
  readonly logprobs: readonly TokenLogprob[];
  /** Of a request that only reads: whole once it has ended well. */
  readonly reading: ReadingResult | undefined;
  /** Set with the terminal entry. */
  readonly ending: Ending | undefined;
  /** Starts reading after entry `after` (-1: from the start). Throws ServingError `invalid_cursor` (400) for a number the log doesn't have yet. */
  read(after: number): Cursor;
  cancel(): void;
}

/**
 * A reader's place in a log. It never buffers: `next` takes the next entry or returns undefined, and
 * `onReady` is called (at most once per turn of the loop) when there is something to take.
 * Close it, or the response never counts as abandoned.
 */
export interface Cursor {
  readonly response: Response;
  /** Number of the entry that `next` would return. */
  readonly position: number;
  /** Entries between this reader and the log's end. */
  readonly lag: number;
  next(): LogEntry | undefined;
  /** True once the terminal entry has been taken. */
  readonly finished: boolean;
  /** Replaces the callback before. Called in a later microtask at once when entries are waiting already. */
  onReady(callback: () => void): void;
  /** Notices since this cursor was opened; replaces the callback before. */
  onNotice(callback: (notice: Notice) => void): void;
  /**
   * Its response can't be followed now though it has not ended: its log can't be written, or this
   * server leaves it to the next one. The cursor is closed; iterating it throws the reason.
   */
  onInterrupted(callback: (reason: ServingError) => void): void;
  /** Resolves when `next` has something, or the cursor is finished or closed. */
  ready(): Promise<void>;
  close(): void;
  [Symbol.asyncIterator](): AsyncIterator<LogEntry>;
}

export interface ModelInfo {
  id: string;
  /** Further names by which it may be asked for. */
  aliases: readonly string[];
  /** Wall-clock seconds, as OpenAI has it. */
  created: number;
  isDefault: boolean;
  /** What its weights are read from. */
  format: "safetensors" | "gguf";
  /** Undefined until a worker has loaded it. */
  contextMax: number | undefined;
  ready: boolean;
  /** What it was seen to do when it was loaded; undefined until a worker has loaded it. */
  abilities: Abilities | undefined;
}

export interface NativeInfo {
  /** By name: which are on, and why others are not. */
  parts: NativeParts;
  /** Why this worker has gone on without any, though more were asked for. */
  disabled?: string | undefined;
  /** Of this worker's requests since its start; null until it has told. */
  metrics: NativeMetrics | null;
  /** Null where frames are not built in pooled buffers, too. */
  pool: NativePool | null;
}

export interface WorkerInfo {
  id: string;
  model: string;
  /** The worker machine's state. */
  state: string;
  /** `spare`: it stands by until one that takes work is lost. */
  role: "active" | "spare";
  epoch: number;
  pid: number | undefined;
  restarts: number;
  /** Requests in each state on this worker: its own batch's, and preparing ones. */
  running: number;
  prefilling: number;
  decoding: number;
  cancelling: number;
  /** Requests that wait for a worker of this model. */
  queued: number;
  /** Requests of this model that are being templated and tokenized. */
  preparing: number;
  /** Requests of this model that are prepared, and on their way to disk. */
  storing: number;
  backend: string | undefined;
  versions: Record<string, string>;
  /** `kvBudgetBytes`: for requests that run together; `kvAloneBytes`: for one with no other beside it. `kvBits`: of each
   * element of keys and values; 0: they are kept as they are computed. */
  limits:
    | {
        contextMax: number;
        kvBudgetBytes: number;
        kvAloneBytes: number;
        kvBytesPerToken: number;
        kvBits: 0 | 4 | 8;
        weightsBytes: number;
      }
    | undefined;
  loading: { done: number; total: number; what: string } | undefined;
  /** Why it is not ready, if it isn't. */
  reason: string | undefined;
  telemetry: Record<string, unknown> | undefined;
  /** Null until a worker has loaded. */
  native: NativeInfo | null;
}

export type Readiness = { ready: true } | { ready: false; reason: string; retryAfterS: number };

/** `id`: it has a timeline; absent: it was turned away at the door. `afterMs`: since it arrived. */
export interface Refused {
  code: string;
  status: number;
  model: string | undefined;
  id?: string | undefined;
  afterMs?: number | undefined;
  operation?: Operation | undefined;
  origin?: Origin | undefined;
}

/** How much a folder of stored responses holds. `liveBytes`: of it, what counts. */
export interface StorageInfo {
  bytes: number;
  liveBytes: number;
  segments: number;
  /** Nothing can be written there now. */
  failing: boolean;
}

/** Over all readers of all responses. */
export interface ReaderLag {
  readers: number;
  /** Entries of the furthest behind, and of all together. */
  max: number;
  sum: number;
}

/** What metrics and logs listen to. */
export interface EngineObserver {
  accepted?(response: Response, info: { queuedMs: number }): void;
  /** Once per delta; `gapMs` since the one before, or since arrival for the first. */
  delta?(response: Response, info: { tokens: number; gapMs: number; first: boolean }): void;
  ended?(
    response: Response,
    info: {
      ending: Ending;
      usage: ResponseUsage;
      calls: CallCounts;
      e2eMs: number;
      queueMs: number;
      ttftMs: number | undefined;
      operation: Operation;
      origin: Origin | undefined;
    },
  ): void;
  /** Its worker was lost, and it goes on elsewhere. `attempt`: the one that was lost. */
  migrated?(
    response: Response,
    info: { attempt: number; reason: string; origin: Origin | undefined },
  ): void;
  /** A worker was given it that didn't begin it. `tokens`: of its prompt and of what was made, to be computed again. */
  replayed?(response: Response, info: { tokens: number }): void;
  /** Requests that were turned away before they were accepted. */
  refused?(info: Refused): void;
  workerState?(info: {
    workerId: string;
    model: string;
    from: string;
    to: string;
    epoch: number;
  }): void;
  workerLost?(info: { workerId: string; epoch: number; fault: string; leases: number }): void;
  loading?(info: {
    workerId: string;
    model: string;
    done: number;
    total: number;
    what: string;
  }): void;
  rejection?(info: { machine: string; kind: string; state: string; event: string }): void;
  log?(
    level: "debug" | "info" | "warn" | "error",
    message: string,
    fields: Record<string, unknown>,
  ): void;
}

/** For those who watch over the engine: every owner's requests, without their content. */
export interface Operator {
  /** What runs now: `requestsMax` requests at most, those first that a worker holds. Made when asked for. */
  view(requestsMax: number): LiveView;
  /** Undefined if it never was, or is forgotten: of those that have ended the last 512 are remembered. */
  timeline(id: string): Timeline | undefined;
  /** Cancels whosesoever it is; false if no such request lives. */
  cancel(id: string): boolean;
  /** SIGKILL to its process, as if it had died of itself; false if it has none. Its requests go on elsewhere, uncharged. */
  killWorker(id: string): boolean;
}

export interface Engine {
  readonly operator: Operator;
  /**
   * Templates and tokenizes, then accepts. Resolves once `response.created` is in the log. Rejects with
   * ServingError: 400 (prompt), 404 model_not_found, 409 idempotency_conflict, 429 queue_full,
   * 503 draining or no worker. `signal` gives up while preparing and, by its default reach, cancels afterwards.
   */
  submit(submission: SubmissionInput, signal?: AbortSignal, reach?: SignalReach): Promise<Response>;
  /**
   * How many tokens the prompt has: it is templated and tokenized as by `submit`, and nothing is accepted.
   * Rejects as `submit` does.
   */
  countTokens(submission: SubmissionInput, signal?: AbortSignal): Promise<number>;
  /**
   * The prompt's tokens, and what of them `spell` asks for, also of one that no context holds. Nothing is
   * accepted. Rejects as `submit` does.
   */
  tokenize(submission: SubmissionInput, spell: Spelling, signal?: AbortSignal): Promise<Tokenized>;
  /** Undefined too when it belongs to somebody else. */
  get(id: string, owner: string): Response | undefined;
  /** Cancels if running; false if there is no such response. */
  cancel(id: string, owner: string): boolean;
  /**
   * Forgets it at once (cancelling it first) and resolves when no restart brings it back; false if there is
   * no such response. Rejects with `storage_unavailable` when the disk can't take that for some seconds: it
   * is gone, and may be back if this process dies before the disk works again.
   */
  delete(id: string, owner: string): Promise<boolean>;
  models(): ModelInfo[];
  workers(): WorkerInfo[];
  /** Undefined: stored responses are kept in memory alone. */
  storage(): StorageInfo | undefined;
  readerLag(): ReaderLag;
  readiness(): Readiness;
  /**
   * Restarts it when its requests have ended, or after the drain time of its policy; called again meanwhile,
   * at once. False if there is no such worker.
   */
  restartWorker(id: string): boolean;
  /** Accepts nothing more; resolves when the last response has ended or `timeoutMs` has passed, having failed the rest. */
  drain(timeoutMs: number): Promise<void>;
  readonly draining: boolean;
  /** Calls back when draining begins. */
  onDraining(callback: (graceMs: number) => void): void;
  /** Resolves when the default model has a worker that can take work; rejects when its loading failed for good. */
  whenReady(): Promise<void>;
  observe(observer: EngineObserver): () => void;
  /** Ends everything, at once: leases, workers, timers. Resolves when no process remains. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * `say`: raw output of a model, for requests whose last message or tool output has `when` in its text and that
 * offer tools if `tools` is true, or offer none if it is false. Used once, unless `repeat`.
 */
export interface FakeScriptEntry {
  when: string;
  say: string;
  tools?: boolean | undefined;
  repeat?: boolean | undefined;
}

/** Where a worker's processes come from; see `worker/process.ts` and, in tests, a simulated one. */
export interface EngineOptions {
  models: readonly import("../worker/messages.js").ModelSource[];
  /** Further names of models; see `aliases.ts`. */
  aliases: Readonly<Record<string, string>>;
  /** Worker processes per model that take work. */
  workersPerModel: number;
  /** And such that stand by, loaded, to take the place of one that is lost. */
  spareWorkersPerModel: number;
  engine: "mlx" | "fake";
  maxBatch: number;
  /** Requests that may wait, all models together. */
  queueMax: number;
  /** 0: what the model can. */
  contextMax: number;
  memoryBudgetBytes: number;
  /** What the prefix cache of a worker may hold: bytes, and a share of what the weights leave. */
  prefixCacheBytes: number;
  prefixCacheShare: number;
  /** Where its blocks survive the worker; empty: nowhere. All workers share the folder and its bytes. */
  prefixDiskFolder: string;
  prefixDiskBytes: number;
  /** Whose requests may share what is computed of a prompt: those of one owner, or all. */
  prefixSharing: "own" | "all";
  /** Bits of each element of keys and values in the caches; 0: as they are computed. */
  kvBits: 0 | 4 | 8;
  device: "auto" | "cpu" | "gpu";
  /** What control tokens are in the strings of a chat's request. */
  controlTokens: "text" | "parse";
  fakeTokensPerSecond: number;
  /** Fake engine only: what it says to whom, in place of its usual text. */
  fakeScript?: readonly FakeScriptEntry[] | undefined;
  /** What finished responses may take in memory, and for how long. */
  retentionBytesMax: number;
  retentionMs: number;
}
