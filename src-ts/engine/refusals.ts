/** Words and codes for what the engine turns away or fails. One place, so that every face says the same. */
import { ServingError } from "../errors.js";
import { type Failure, type Finish, preparationDeathsMax } from "../machines/Request.js";
import type { Ending } from "./api.js";

const failureWords: Record<Failure, string> = {
  worker_crashed: "the worker died three times while it ran this request",
  out_of_memory: "there was not enough memory to run this request",
  generation_error: "the model failed on this request",
  server_shutdown: "the server is shutting down",
  invalid_prompt: "the prompt could not be rendered",
  invalid_request: "a worker could not read this request",
  request_too_large: "the request is larger than what a worker takes",
  context_length_exceeded: "the prompt is longer than the model's context",
  memory_budget_exceeded: "the request needs more memory than any worker has",
  storage_unavailable: "the response can't be stored now: its log can't be written",
  model_unavailable: "the server was restarted without this response's model",
};

/** The same before anything was accepted, where there are other words for it. */
const preparationWords: Partial<Record<Failure, string>> = {
  worker_crashed: `the worker died ${preparationDeathsMax} times while it prepared this prompt, the last time with nothing else to do`,
  out_of_memory: "there was not enough memory to prepare this prompt",
};

/** Statuses of failures that happen before anything was accepted. */
const failureStatus: Record<Failure, number> = {
  worker_crashed: 500,
  out_of_memory: 503,
  generation_error: 500,
  server_shutdown: 503,
  invalid_prompt: 400,
  invalid_request: 400,
  request_too_large: 413,
  context_length_exceeded: 400,
  memory_budget_exceeded: 400,
  storage_unavailable: 503,
  model_unavailable: 503,
};

/** Seconds after which a client may try again where nothing better is known. */
export const retryAfterS = 1;

export function endingOf(finish: Finish, failure: string | undefined): Ending {
  if (finish.kind !== "failed") return { kind: finish.kind };
  return { kind: "failed", code: finish.code, message: failure ?? failureWords[finish.code] };
}

/** What `submit` rejects with when the request ended before it was accepted. */
export function refusalOf(
  finish: Finish,
  failure: string | undefined,
  field: string | undefined,
): ServingError {
  if (finish.kind === "expired")
    return new ServingError("the deadline passed before the request was accepted", {
      code: "deadline_exceeded",
      status: 504,
    });
  if (finish.kind !== "failed")
    return new ServingError("the request was cancelled", { code: "cancelled", status: 499 });
  const status = failureStatus[finish.code];
  const words = preparationWords[finish.code] ?? failureWords[finish.code];
  return new ServingError(failure ?? words, {
    code: finish.code,
    status,
    param: field ?? null,
    ...(status === 503 ? { retryAfterS } : {}),
  });
}

/** What a prompt comes in, whatever its API calls it: the server has that name. */
export const promptField = "input";

export function queueFull(queueMax: number): ServingError {
  return new ServingError(`the queue is full: ${queueMax} requests are waiting (--max-queue)`, {
    code: "queue_full",
    status: 429,
    retryAfterS,
  });
}

export function unknownModel(id: string, known: readonly string[]): ServingError {
  return new ServingError(`model "${id}" is not served here; there is ${known.join(", ")}`, {
    code: "model_not_found",
    status: 404,
    param: "model",
  });
}

export function isDraining(): ServingError {
  return new ServingError("the server is draining and takes nothing new", {
    code: "server_draining",
    status: 503,
    retryAfterS,
  });
}

export function noWorker(reason: string): ServingError {
  return new ServingError(`no worker can take this request: ${reason}`, {
    code: "no_worker",
    status: 503,
    retryAfterS: 30,
  });
}
