/** The table of endings: what each looks like in each API. See docs/PROTOCOL.md. */
import type { Ending } from "../../engine/api.js";
import { ServingError } from "../../errors.js";
import { failure, failures, statusOf } from "../../failures.js";
import type { ChatFinishReason } from "../../protocol/chat.js";
import type { ResponseObject, ResponseStatus } from "../../protocol/responses.js";

/**
 * Undefined if there is none: the stream ends with an error, or just closes. `isLegacy`: who asked calls
 * tools functions.
 */
export function finishReasonOf(ending: Ending, isLegacy = false): ChatFinishReason | undefined {
  switch (ending.kind) {
    case "stop":
    case "length":
      return ending.kind;
    case "toolCalls":
      return isLegacy ? "function_call" : "tool_calls";
    case "cancelled":
    case "expired":
    case "failed":
      return undefined;
  }
}

/** The stop string that ended it, if one did, as vLLM has it in a choice. */
export function stoppedBy(ending: Ending): { stop_reason?: string } {
  const sequence = ending.kind === "stop" ? ending.sequence : undefined;
  return sequence === undefined ? {} : { stop_reason: sequence };
}

/** How a chat or completion that has no finish reason is answered before its first chunk. */
export function errorOf(ending: Ending): ServingError {
  switch (ending.kind) {
    case "cancelled":
      return failure("cancelled");
    case "expired":
      return failure("deadline_exceeded");
    case "failed": {
      const { code, message } = ending;
      return new ServingError(message, { code, status: statusOf(code) });
    }
    default:
      throw new TypeError(`${ending.kind} is no error`);
  }
}

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
      return failed("deadline_exceeded", failures.deadline_exceeded.words);
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
