/** How a request ends that the engine turns away or fails: which failure it is, and what is said of it. */
import type { ServingError } from "../../errors.js";
import { failure, failures } from "../../failures.js";
import type { Explanation } from "../../machines/Orchestrator.js";
import { type Failure, type Finish, preparationDeathsMax } from "../../machines/Request.js";
import type { Ending } from "../api.js";
import type { Said } from "../runner.js";

/** What a prompt comes in, whatever its API calls it: the server has that name. */
export const promptField = "input";

/** What an answer is kept to, as a worker calls it: the submission says what its sender does. */
const constraintField = "constraint";

/** Before the pointer to what of which tool can't be kept to. */
const toolsPrefix = "tools/";

/** Before a request was accepted the prompt is to blame, with other words where there are some. */
const preparationWords: Partial<Record<Failure, string | undefined>> = {
  worker_crashed: `The worker died ${preparationDeathsMax} times while it prepared this prompt, the last time with nothing else to do.`,
  out_of_memory: undefined,
};

/** Seconds after which a server that is not ready may be. */
export const retryAfterS = failures.not_ready.retryAfterS;

/** Why a request ended as it did, with what is needed to say it. */
export interface Explained {
  explanation: Explanation;
  said: Said;
  queueMax: number;
  /** Why the worker that is meant is not ready. */
  reason: string | undefined;
  /** What its sender calls what the answer is kept to. */
  constraintName: string | undefined;
  toolField: ((pointer: string) => string | undefined) | undefined;
}

interface Words {
  message?: string | undefined;
  field?: string | undefined;
}

function wordsOf(explained: Explained): Words {
  const { explanation, said, constraintName = constraintField, toolField } = explained;
  switch (explanation.kind) {
    case "said": {
      const { message, field } = said;
      if (field?.startsWith(toolsPrefix)) {
        const name = toolField?.(field.slice(toolsPrefix.length)) ?? "tools";
        return { message: message?.replace(field, name), field: name };
      }
      if (field !== constraintField) return said;
      return { message: message?.replace(field, constraintName), field: constraintName };
    }
    case "noTokens":
      return { message: "The prompt has no tokens.", field: promptField };
    case "contextExceeded": {
      const { promptTokens, contextMax } = explanation;
      const message = `The prompt has ${promptTokens} tokens; the context holds ${contextMax}, one of them for the answer.`;
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
  return `Prompt and token limit together may need ${mib(neededBytes)} of KV cache; a worker has ${mib(limitBytes)}. Shorten either, or raise --memory-budget.`;
}

export function endingOf(finish: Finish, explained: Explained): Ending {
  const { stop } = explained.said;
  if (finish.kind === "stop" && stop !== undefined) return { kind: "stop", sequence: stop };
  if (finish.kind !== "failed") return { kind: finish.kind };
  const { code } = finish;
  return { kind: "failed", code, message: wordsOf(explained).message ?? failure(code).message };
}

/** What `submit` rejects with when the request ended before it was accepted. */
export function refusalOf(finish: Finish, explained: Explained): ServingError {
  if (explained.explanation.kind === "noWorker") return turnedAway(explained);
  if (finish.kind === "expired") return failure("deadline_exceeded");
  if (finish.kind !== "failed") return failure("cancelled");
  const { code } = finish;
  const { message, field } = wordsOf(explained);
  const said = message ?? preparationWords[code] ?? failure(code).message;
  const param = field ?? (code in preparationWords ? promptField : null);
  return failure(code, { message: said, param });
}

/** Of a request that never began. */
export function turnedAway({ explanation, queueMax, reason }: Explained): ServingError {
  switch (explanation.kind) {
    case "draining":
      return isDraining();
    case "queueFull":
      return failure("queue_full", { queueMax });
    default:
      return noWorker(reason ?? "all workers are broken");
  }
}

export function unknownModel(id: string, known: readonly string[]): ServingError {
  return failure("model_not_found", { id, known, param: "model" });
}

export function isDraining(): ServingError {
  return failure("server_draining");
}

function noWorker(reason: string): ServingError {
  return failure("no_worker", { reason });
}
