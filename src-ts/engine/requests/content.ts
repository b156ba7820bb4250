/**
 * What a live request is made of: what the orchestrator has no use for. Plain data. Who runs it where, and how
 * far it is, only the orchestrator knows.
 */
import { packTokens } from "../../encoding/tokens.js";
import type { ServingError } from "../../errors.js";
import type { Cost } from "../../machines/Batch.js";
import type {
  Admission,
  PrepareInput,
  Reading,
  ReadLogprob,
  Sampling,
  Spelling,
  TurnRequest,
} from "../../worker/messages.js";
import type { Operation, ReadingRequest, Submission, Tokenized } from "../api.js";
import type { ResponseLog } from "../responses/log.js";
import { seedOf } from "./defaults.js";

/** What is asked for, apart from the prompt. */
export type Asked = Omit<Submission, "input">;

/** What a prompt has become, and what of it was asked for in words. */
export type PromptTokens = Pick<Tokenized, "tokens" | "text" | "pieces">;

/** What has come of a prompt that is read: all vectors, or some tokens more. */
export interface ReadPart {
  vectors?: Uint8Array | undefined;
  logprobs?: readonly ReadLogprob[] | undefined;
}

/**
 * `tokenized`: only the prompt's tokens are wanted; nothing is accepted then. `spell`: and what of them in words,
 * also of a prompt that no context holds.
 */
export interface Settle {
  accept(log: ResponseLog): void;
  refuse(error: ServingError): void;
  tokenized?: (prompt: PromptTokens) => void;
  spell?: Spelling | undefined;
}

/** Who asks for what. Times: monotonic milliseconds. */
export interface Identity {
  readonly id: string;
  readonly modelId: string;
  readonly arrivedAt: number;
  readonly deadlineAt: number;
  readonly asked: Asked;
  readonly idempotencyId: string | undefined;
  /** Its text begins a turn of a chat; else it goes on from the prompt. */
  readonly chat: boolean;
  readonly turn: TurnRequest;
  /** Answers `submit`, `tokenize` or `countTokens`; only the first call counts. */
  readonly settle: Settle;
}

/** What a prompt has become: it is never rendered again. */
export interface Prompt {
  readonly promptTokens: Uint32Array;
  readonly maxTokens: number;
  readonly sampling: Sampling;
  readonly cost: Cost;
  /** Its reasoning was to be bounded, and its model's can't be. */
  readonly isUnbounded?: boolean;
  /** Of several texts, each one's tokens. */
  readonly lengths?: readonly number[] | undefined;
}

/** `startedAt`: when a worker first held it. */
export interface Times {
  startedAt: number | undefined;
  firstTokenAt: number | undefined;
  lastDeltaAt: number;
}

/**
 * What there is of a request, as far as it is. `tokenized` ends without being told again. `prepared` lasts until the next command, which says whether it is
 * stored first. The log of `storing` is on its way to disk: nobody hears of it before it is there.
 */
export type Phase =
  | { readonly kind: "preparing"; readonly input: PrepareInput }
  | { readonly kind: "tokenized" }
  | { readonly kind: "prepared"; readonly prompt: Prompt }
  | { readonly kind: "storing"; readonly prompt: Prompt; readonly log: ResponseLog }
  | Accepted;

export interface Accepted {
  readonly kind: "accepted";
  readonly prompt: Prompt;
  readonly log: ResponseLog;
  readonly times: Times;
}

export interface LiveRequest {
  readonly identity: Identity;
  phase: Phase;
}

export interface NewRequest {
  id: string;
  modelId: string;
  submission: Submission;
  fakeSay: string | undefined;
  idempotencyId: string | undefined;
  settle: Settle;
  now: number;
}

/** As it comes in: nothing of it is prepared. Throws 400 for a seed that is no integer. */
export function newRequest({ now, submission, fakeSay, ...given }: NewRequest): LiveRequest {
  const { input, sampling, ...rest } = submission;
  const asked = { ...rest, sampling: { ...sampling, seed: seedOf(sampling.seed) } };
  const deadlineAt = now + (asked.deadlineMs ?? Number.POSITIVE_INFINITY);
  const chat = input.kind === "chat";
  return {
    identity: { ...given, asked, arrivedAt: now, deadlineAt, chat, turn: turnOf(input, fakeSay) },
    phase: { kind: "preparing", input },
  };
}

function turnOf(input: PrepareInput, fakeSay: string | undefined): TurnRequest {
  const { tools, reasoning } = input.kind === "chat" ? input : {};
  return {
    ...(tools !== undefined && { tools }),
    ...(reasoning !== undefined && { reasoning }),
    ...(fakeSay !== undefined && { fakeSay }),
  };
}

/** From now on; no worker has held it. */
export const newTimes = (now: number): Times => ({
  startedAt: undefined,
  firstTokenAt: undefined,
  lastDeltaAt: now,
});

/** How a worker is told of it, under this slot. */
export function admissionOf(
  { chat, turn, asked: { constraint, priority, reading } }: Identity,
  { prompt, log }: Accepted,
  slot: number,
): Admission {
  return {
    id: slot,
    prompt: packTokens(prompt.promptTokens),
    emitted: packTokens(log.emitted),
    maxTokens: prompt.maxTokens,
    sampling: prompt.sampling,
    chat,
    ...(priority !== "normal" && { priority }),
    ...turn,
    ...(constraint && { constraint }),
    ...(reading && { reading: readingOf(reading, prompt) }),
  };
}

function readingOf(reading: ReadingRequest, { promptTokens, lengths }: Prompt): Reading {
  if (reading.kind === "score") return reading;
  return { kind: "embed", lengths: [...(lengths ?? [promptTokens.length])] };
}

export function operationOf(chat: boolean, reading: ReadingRequest | undefined): Operation {
  if (reading !== undefined) return reading.kind === "embed" ? "embedding" : "score";
  return chat ? "chat" : "completion";
}

/** What observers are told of whose request it is, and of what kind. */
export const asFor = ({ chat, asked: { reading, origin } }: Identity) => ({
  operation: operationOf(chat, reading),
  origin,
});

/** Of a request that ends at `now`. */
export function timings({ arrivedAt }: Identity, { startedAt, firstTokenAt }: Times, now: number) {
  return {
    e2eMs: now - arrivedAt,
    queueMs: (startedAt ?? now) - arrivedAt,
    ttftMs: firstTokenAt === undefined ? undefined : firstTokenAt - arrivedAt,
  };
}
