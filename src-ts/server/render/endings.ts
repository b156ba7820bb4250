/** The table of endings: what each looks like in each API. See docs/PROTOCOL.md. */
import type { Ending } from "../../engine/api.js";
import { ServingError } from "../../errors.js";
import type { ChatFinishReason } from "../../protocol/chat.js";
import type { ResponseObject, ResponseStatus } from "../../protocol/responses.js";

/** The client has gone, or somebody cancelled for it; nginx's number, for want of a standard one. */
const clientClosedRequest = 499;

/** Failures that are not the server's own fault; every other one is 500. */
const statusByCode: Readonly<Record<string, number>> = {
  invalid_prompt: 400,
  invalid_request: 400,
  request_too_large: 413,
  context_length_exceeded: 400,
  memory_budget_exceeded: 400,
  storage_unavailable: 503,
  model_unavailable: 503,
  out_of_memory: 503,
  server_shutdown: 503,
};

/** Undefined if there is none: the stream ends with an error, or just closes. */
export function finishReasonOf(ending: Ending): ChatFinishReason | undefined {
  switch (ending.kind) {
    case "stop":
    case "length":
      return ending.kind;
    case "toolCalls":
      return "tool_calls";
    case "cancelled":
    case "expired":
    case "failed":
      return undefined;
  }
}

/** How a chat or completion that has no finish reason is answered before its first chunk. */
export function errorOf(ending: Ending): ServingError {
  switch (ending.kind) {
    case "cancelled":
      return new ServingError("The request was cancelled.", {
        code: "cancelled",
        status: clientClosedRequest,
      });
    case "expired":
      return new ServingError(deadlineMessage, { code: "deadline_exceeded", status: 504 });
    case "failed": {
      const status = statusByCode[ending.code] ?? 500;
      return new ServingError(ending.message, { code: ending.code, status });
    }
    default:
      throw new TypeError(`${ending.kind} is no error`);
  }
}

const deadlineMessage = "The request's deadline passed before the answer was complete.";

type Terminal = "response.completed" | "response.incomplete" | "response.failed";

/** How a response of the Responses API ends. */
export interface ResponseEnding {
  event: Terminal;
  status: ResponseStatus;
  incompleteDetails: ResponseObject["incomplete_details"];
  error: ResponseObject["error"];
}

export function responseEndingOf(ending: Ending): ResponseEnding {
  const none = { incompleteDetails: null, error: null };
  switch (ending.kind) {
    case "stop":
    case "toolCalls":
      return { event: "response.completed", status: "completed", ...none };
    case "length":
      return incomplete("incomplete", "max_output_tokens");
    case "cancelled":
      return incomplete("cancelled", "cancelled");
    case "expired":
      return failed("deadline_exceeded", deadlineMessage);
    case "failed":
      return failed(ending.code, ending.message);
  }
}

function incomplete(
  status: ResponseStatus,
  reason: "max_output_tokens" | "cancelled",
): ResponseEnding {
  return { event: "response.incomplete", status, incompleteDetails: { reason }, error: null };
}

function failed(code: string, message: string): ResponseEnding {
  return {
    event: "response.failed",
    status: "failed",
    incompleteDetails: null,
    error: { code, message },
  };
}
