/** How both transports of the Responses API come to a response: what HTTP and WebSocket ask of the engine, and say the same of. */
import type { Engine, Response, SubmissionInput } from "../engine/api.js";
import { failure } from "../failures.js";
import { withParam } from "./errors.js";
import { isResponseEcho } from "./render/echo.js";
import { givenItems } from "./render/given-items.js";
import { outputItems } from "./render/output-items.js";
import type { ItemLookup } from "./submissions/history.js";
import { shown } from "./validation/shown.js";

/** A response of this API that belongs to `owner`. Throws 404 for everything else. */
export function ownResponse(engine: Engine, id: string, owner: string): Response {
  const response = engine.get(id, owner);
  if (response === undefined || !isResponseEcho(response.echo))
    throw failure("response_not_found", { id: shown(id), param: "response_id" });
  return response;
}

/** Items of stored responses of `owner`, by their ids. */
export function storedItems(engine: Engine, owner: string): ItemLookup {
  return (id) => {
    // An item's id names its response, unless a client has named it.
    const own = /^[a-z]+_([0-9a-z]+)(?:_in)?(?:_[0-9]+)?$/.exec(id)?.[1];
    const response = own === undefined ? undefined : engine.get(`resp_${own}`, owner);
    if (response === undefined || !response.store || !isResponseEcho(response.echo))
      return undefined;
    const ofIt = [...outputItems(response), ...givenItems(response)];
    return ofIt.find((item) => item.id === id);
  };
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
