/** What the loop knows of one request beside its machine's state. Plain data. */

import { packTokens } from "../encoding/tokens.js";
import type { ServingError } from "../errors.js";
import type { Cost } from "../machines/Batch.js";
import { initial, type Lease, type State } from "../machines/Request.js";
import type { Admission, PrepareInput, Sampling, TokenLogprob } from "../worker/messages.js";
import type { Submission } from "./api.js";
import { withDefaults } from "./defaults.js";
import type { ResponseLog } from "./log.js";
import type { Timer } from "./ports.js";

/** In place of an input whose tokens are known: it is never rendered again. */
export const nothingToPrepare: PrepareInput = { kind: "tokens", tokens: new Uint8Array() };

/** Tokens that a worker sent, with their text. */
export interface Arrived {
  tokens: number[];
  text: string;
  logprobs: TokenLogprob[];
}

/**
 * One dispatch: the name under which a worker knows the request, and what has arrived and is not yet
 * numbered. Frames of older slots find nothing.
 */
export interface Slot extends Arrived {
  id: number;
  request: LiveRequest;
  workerId: string;
  lease: Lease;
  /** False until the batch's window has ended: the worker has not heard of it yet. */
  submitted: boolean;
  startedAt: number;
}

export interface LiveRequest {
  id: string;
  /** Order of arrival; the scheduler's last resort. */
  arrivedAt: number;
  modelId: string;
  submission: Submission;
  state: State;
  idempotencyId: string | undefined;
  deadlineAt: number;
  deadline: Timer | undefined;
  /** Answers `submit`; only the first call counts. */
  settle: { accept(log: ResponseLog): void; refuse(error: ServingError): void };
  /** Why it is turned away, when the machine's finish doesn't say. */
  refusal: ServingError | undefined;
  /** The `prepare` that is under way. */
  preparing: { slotId: number; workerId: string } | undefined;
  /** Its text begins a turn of a chat; else it goes on from the prompt. */
  chat: boolean;
  /** Known once it is prepared. */
  promptTokens: Uint32Array;
  blockHashes: readonly string[];
  maxTokens: number;
  sampling: Sampling;
  cost: Cost;
  log: ResponseLog | undefined;
  /** Prepared, and on its way to disk: it becomes `log` once it is there. */
  storing: ResponseLog | undefined;
  slot: Slot | undefined;
  /** When it first got a slot. */
  startedAt: number | undefined;
  firstTokenAt: number | undefined;
  lastDeltaAt: number;
  /** `inProgress` is in the log. */
  begun: boolean;
  /** Text that the worker held back until the end. */
  tail: string;
  /** What a failure says to people. */
  failure: string | undefined;
  /** Which field of the input is to blame for it. */
  failedField: string | undefined;
}

export interface NewRequest {
  id: string;
  modelId: string;
  submission: Submission;
  idempotencyId: string | undefined;
  settle: LiveRequest["settle"];
  /** Monotonic milliseconds. */
  now: number;
}

/** As it comes in: nothing of it is prepared. */
export function newRequest({ now, ...given }: NewRequest): LiveRequest {
  return {
    ...given,
    arrivedAt: now,
    state: initial,
    deadlineAt: now + (given.submission.deadlineMs ?? Number.POSITIVE_INFINITY),
    deadline: undefined,
    refusal: undefined,
    preparing: undefined,
    chat: given.submission.input.kind === "chat",
    promptTokens: new Uint32Array(),
    blockHashes: [],
    maxTokens: 0,
    sampling: withDefaults(given.submission.sampling),
    cost: { promptTokens: 0, newTokens: 0, kvBytes: 0 },
    log: undefined,
    storing: undefined,
    slot: undefined,
    startedAt: undefined,
    firstTokenAt: undefined,
    lastDeltaAt: now,
    begun: false,
    tail: "",
    failure: undefined,
    failedField: undefined,
  };
}

export function newSlot(id: number, request: LiveRequest, lease: Lease, now: number): Slot {
  return {
    id,
    request,
    workerId: lease.workerId,
    lease,
    submitted: false,
    tokens: [],
    text: "",
    logprobs: [],
    startedAt: now,
  };
}

/** It must run with nobody beside it, until it gets further than ever. */
export function isSuspect({ state }: LiveRequest): boolean {
  return "tally" in state && state.tally.alone;
}

/** From now on the worker knows it. */
export function admit(slot: Slot): Admission {
  slot.submitted = true;
  const { request } = slot;
  return {
    id: slot.id,
    prompt: packTokens(request.promptTokens),
    emitted: packTokens(request.log?.emitted ?? []),
    maxTokens: request.maxTokens,
    sampling: request.sampling,
    chat: request.chat,
  };
}

/** Of a request that ends at `now`. */
export function timings({ arrivedAt, startedAt, firstTokenAt }: LiveRequest, now: number) {
  return {
    e2eMs: now - arrivedAt,
    queueMs: (startedAt ?? now) - arrivedAt,
    ttftMs: firstTokenAt === undefined ? undefined : firstTokenAt - arrivedAt,
  };
}
