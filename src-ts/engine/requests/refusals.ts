/** Words and codes for what the engine turns away or fails. One place, so that every face says the same. */
import { ServingError } from "../../errors.js";
import type { Explanation } from "../../machines/Orchestrator.js";
import { type Failure, type Finish, preparationDeathsMax } from "../../machines/Request.js";
import { defaultPolicy } from "../../machines/Worker.js";
import type { Ending } from "../api.js";
import type { Said } from "../runner.js";

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

/** The same before anything was accepted, where there are other words for it: the prompt is to blame. */
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

/** What a prompt comes in, whatever its API calls it: the server has that name. */
export const promptField = "input";

/** Why a request ended as it did, with what is needed to say it. */
export interface Explained {
  explanation: Explanation;
  said: Said;
  queueMax: number;
  /** Why the worker that is meant is not ready. */
  reason: string | undefined;
}

interface Words {
  message?: string | undefined;
  field?: string | undefined;
}

function wordsOf({ explanation, said }: Explained): Words {
  switch (explanation.kind) {
    case "said":
      return said;
    case "noTokens":
      return { message: "the prompt has no tokens", field: promptField };
    case "contextExceeded": {
      const { promptTokens, contextMax } = explanation;
      const message = `the prompt has ${promptTokens} tokens; the context holds ${contextMax}, one of them for the answer`;
      return { message, field: promptField };
    }
    case "overBudget":
      return { message: overBudget(explanation.neededBytes, explanation.limitBytes) };
    default:
      return {};
  }
}

function overBudget(neededBytes: number, limitBytes: number): string {
  const mib = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  return `the request needs ${mib(neededBytes)} of KV cache; a worker has ${mib(limitBytes)} (--memory-budget)`;
}

export function endingOf(finish: Finish, explained: Explained): Ending {
  if (finish.kind !== "failed") return { kind: finish.kind };
  const message = wordsOf(explained).message ?? failureWords[finish.code];
  return { kind: "failed", code: finish.code, message };
}

/** What `submit` rejects with when the request ended before it was accepted. */
export function refusalOf(finish: Finish, explained: Explained): ServingError {
  if (explained.explanation.kind === "noWorker") return turnedAway(explained);
  if (finish.kind === "expired")
    return new ServingError("the deadline passed before the request was accepted", {
      code: "deadline_exceeded",
      status: 504,
    });
  if (finish.kind !== "failed")
    return new ServingError("the request was cancelled", { code: "cancelled", status: 499 });
  const status = failureStatus[finish.code];
  const ofPrompt = preparationWords[finish.code];
  const { message = ofPrompt ?? failureWords[finish.code], field } = wordsOf(explained);
  return new ServingError(message, {
    code: finish.code,
    status,
    param: field ?? (ofPrompt === undefined ? null : promptField),
    ...(status === 503 ? { retryAfterS } : {}),
  });
}

/** Of a request that never began. */
export function turnedAway({ explanation, queueMax, reason }: Explained): ServingError {
  switch (explanation.kind) {
    case "draining":
      return isDraining();
    case "queueFull":
      return new ServingError(`the queue is full: ${queueMax} requests are waiting (--max-queue)`, {
        code: "queue_full",
        status: 429,
        retryAfterS,
      });
    default:
      return noWorker(reason ?? "all workers are broken");
  }
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

function noWorker(reason: string): ServingError {
  return new ServingError(`no worker can take this request: ${reason}`, {
    code: "no_worker",
    status: 503,
    retryAfterS: Math.ceil(defaultPolicy.probeMs / 1000),
  });
}
