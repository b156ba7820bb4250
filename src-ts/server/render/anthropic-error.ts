/** A failure as Anthropic's API says it. */
import type { ServingError } from "../../errors.js";
import type { AnthropicError, AnthropicErrorType } from "../../protocol/anthropic.js";

const typesByStatus: Readonly<Record<number, AnthropicErrorType>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  503: "overloaded_error",
  504: "timeout_error",
};

export function anthropicError(error: ServingError, requestId: string): AnthropicError {
  const { status, message, param, code } = error;
  const byRange = status < 500 ? "invalid_request_error" : "api_error";
  const type = typesByStatus[status] ?? byRange;
  const said = { type, message, param, code, ...detailsOf(error) };
  return { type: "error", error: said, request_id: requestId };
}

/** Anthropic's clients then send the whole conversation, and no thread any more. */
function detailsOf({ param, code }: ServingError): Pick<AnthropicError["error"], "details"> {
  if (param !== "thread" || code !== "unsupported_parameter") return {};
  return { details: { error_code: "thread_unsupported_request", unsupported: ["thread"] } };
}
