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
  Sampling,
  StepRow,
  TokenLogprob,
} from "../../worker/messages.js";
import type { Submission } from "../api.js";
import type { Timer } from "../ports.js";
import type { ResponseLog } from "../responses/log.js";
import { withDefaults } from "./defaults.js";

/** In place of an input whose tokens are known: it is never rendered again. */
export const nothingToPrepare: PrepareInput = { kind: "tokens", tokens: new Uint8Array() };

export interface LiveRequest {
  id: string;
  modelId: string;
  arrivedAt: number;
  submission: Submission;
  idempotencyId: string | undefined;
  deadlineAt: number;
  deadline: Timer | undefined;
  /** Answers `submit`; only the first call counts. */
  settle: { accept(log: ResponseLog): void; refuse(error: ServingError): void };
  /** Its text begins a turn of a chat; else it goes on from the prompt. */
  chat: boolean;
  /** Known once it is prepared. */
  promptTokens: Uint32Array;
  maxTokens: number;
  sampling: Sampling;
  cost: Cost;
  log: ResponseLog | undefined;
  /** Prepared, and on its way to disk: it becomes `log` once it is there. */
  storing: ResponseLog | undefined;
  /** When a worker first held it. */
  startedAt: number | undefined;
  firstTokenAt: number | undefined;
  lastDeltaAt: number;
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
    deadlineAt: now + (given.submission.deadlineMs ?? Number.POSITIVE_INFINITY),
    deadline: undefined,
    chat: given.submission.input.kind === "chat",
    promptTokens: new Uint32Array(),
    maxTokens: 0,
    sampling: withDefaults(given.submission.sampling),
    cost: { promptTokens: 0, newTokens: 0, kvBytes: 0 },
    log: undefined,
    storing: undefined,
    startedAt: undefined,
    firstTokenAt: undefined,
    lastDeltaAt: now,
  };
}

/** How a worker is told of it, under this slot. */
export function admissionOf(request: LiveRequest, slot: number): Admission {
  const { constraint } = request.submission;
  return {
    id: slot,
    prompt: packTokens(request.promptTokens),
    emitted: packTokens(request.log?.emitted ?? []),
    maxTokens: request.maxTokens,
    sampling: request.sampling,
    chat: request.chat,
    ...(constraint && { constraint }),
  };
}

/** Tokens that a worker sent, with their text. */
export interface Arrived {
  tokens: number[];
  text: string;
  logprobs: TokenLogprob[];
}

export function arrivedIn(rows: readonly StepRow[]): Arrived {
  const arrived: Arrived = { tokens: [], text: "", logprobs: [] };
  for (const [, , token, text, logprobs] of rows) {
    arrived.tokens.push(token);
    arrived.text += text;
    if (logprobs) arrived.logprobs.push(logprobs);
  }
  return arrived;
}

/** Of a request that ends at `now`. */
export function timings({ arrivedAt, startedAt, firstTokenAt }: LiveRequest, now: number) {
  return {
    e2eMs: now - arrivedAt,
    queueMs: (startedAt ?? now) - arrivedAt,
    ttftMs: firstTokenAt === undefined ? undefined : firstTokenAt - arrivedAt,
  };
}
