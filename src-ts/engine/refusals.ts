/** How a request ends that the engine turns away or fails: which failure it is, and what is said of it. */
import type { ServingError } from "../errors.js";
import { failure, failures } from "../failures.js";
import { type Failure, type Finish, preparationDeathsMax } from "../machines/Request.js";
import type { Ending } from "./api.js";

/** What a prompt comes in, whatever its API calls it: the server has that name. */
export const promptField = "input";

/** Before a request was accepted, where there are other words for it. */
const preparationWords: Partial<Record<Failure, string>> = {
  worker_crashed: `The worker died ${preparationDeathsMax} times while it prepared this prompt, the last time with nothing else to do.`,
};

export function endingOf(finish: Finish, message: string | undefined): Ending {
  if (finish.kind !== "failed") return { kind: finish.kind };
  const { code } = finish;
  return { kind: "failed", code, message: message ?? failure(code).message };
}

/** What `submit` rejects with when the request ended before it was accepted. */
export function refusalOf(
  finish: Finish,
  message: string | undefined,
  field: string | undefined,
): ServingError {
  if (finish.kind === "expired") return failure("deadline_exceeded");
  if (finish.kind !== "failed") return failure("cancelled");
  const { code } = finish;
  const said = message ?? preparationWords[code] ?? failure(code).message;
  return failure(code, { message: said, param: field ?? null });
}

/** Seconds after which a server that is not ready may be. */
export const retryAfterS = failures.not_ready.retryAfterS;

export function queueFull(queueMax: number): ServingError {
  return failure("queue_full", { queueMax });
}

export function unknownModel(id: string, known: readonly string[]): ServingError {
  return failure("model_not_found", { id, known, param: "model" });
}

export function isDraining(): ServingError {
  return failure("server_draining");
}

/** `retryAfterS`: when its workers are tried again, if that is known. */
export function noWorker(reason: string, retryAfterS?: number): ServingError {
  return failure("no_worker", { reason, ...(retryAfterS !== undefined && { retryAfterS }) });
}
