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
  return { type: "error", error: { type, message, param, code }, request_id: requestId };
}
