/** How both transports of the Responses API come to a response: what HTTP and WebSocket ask of the engine, and say the same of. */
import type { Engine, Response, SubmissionInput } from "../engine/api.js";
import { failure } from "../failures.js";
import { withParam } from "./errors.js";
import { isResponseEcho } from "./render/response-object.js";
import { shown } from "./validation/shown.js";

/** A response of this API that belongs to `owner`. Throws 404 for everything else. */
export function ownResponse(engine: Engine, id: string, owner: string): Response {
  const response = engine.get(id, owner);
  if (response === undefined || !isResponseEcho(response.echo))
    throw failure("response_not_found", { id: shown(id), param: "response_id" });
  return response;
}

/**
 * `signal` gives up while it is being prepared; once accepted, who abandons it is the engine's to judge.
 * A prompt's messages are this API's `input`.
 */
export function submitResponse(
  engine: Engine,
  submission: SubmissionInput,
  signal: AbortSignal,
): Promise<Response> {
  return engine.submit(submission, signal, "preparing").catch((error: unknown) => {
    throw withParam(error, "messages", "input");
  });
}
