/** What any failure looks like to a client: a ServingError with its headers, and nothing else. */
import type { FastifyError } from "fastify";
import { isServingError, ServingError } from "../errors.js";
import { failure, retryAfterOf } from "../failures.js";
import { acceptedEncodings } from "./bodies/content-encoding.js";
import type { ServerLogger } from "./options.js";
import { openAiRateHeaders, type Rates } from "./render/rate-headers.js";

/** How an API says what has failed and what is left, and where its clients look for the id of a request. */
export interface Dialect {
  requestIdHeader: string;
  errorBody(error: ServingError, requestId: string): object;
  rateHeaders(rates: Rates): Record<string, string>;
}

export const openAiDialect: Dialect = {
  requestIdHeader: "x-request-id",
  errorBody: (error) => ({ error: error.toBody() }),
  rateHeaders: openAiRateHeaders,
};

/** `Retry-After` where trying again may help, `x-should-retry: false` where it can't. */
export function errorHeaders(error: ServingError): Record<string, string> {
  const headers: Record<string, string> = { "content-type": "application/json; charset=utf-8" };
  const retryAfterS = retryAfterOf(error);
  if (retryAfterS !== undefined) headers["retry-after"] = String(retryAfterS);
  if (error.code === "unsupported_encoding") headers["accept-encoding"] = acceptedEncodings;
  if (error.status === 401) headers["www-authenticate"] = "Bearer";
  // A budget takes longer than any client should wait.
  if (error.status === 409 || error.code === "insufficient_quota")
    headers["x-should-retry"] = "false";
  return headers;
}

/** Errors of the framework that are the client's doing. */
const frameworkErrors: Readonly<Record<string, (cause: unknown) => ServingError>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: (cause) => failure("request_too_large", { cause }),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: (cause) => failure("unsupported_media_type", { cause }),
  FST_ERR_ROUTE_MISSING_CONTENT_TYPE: (cause) =>
    failure("unsupported_media_type", {
      message: "This method needs a body with a Content-Type.",
      cause,
    }),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: (cause) =>
    failure("invalid_request", {
      message: "The body is not as long as Content-Length says.",
      cause,
    }),
  FST_ERR_BAD_URL: (cause) => failure("invalid_url", { cause }),
};

/** `report` gets what is the server's fault; the client is not told more than that. */
export function toServingError(error: unknown, report: (fault: unknown) => void): ServingError {
  if (isServingError(error)) return error;
  const known = frameworkErrors[(error as Partial<FastifyError>).code ?? ""];
  if (known !== undefined) return known(error);
  report(error);
  return failure("internal_error", { cause: error });
}

/** A fault in the middle of a stream. */
export function reported(fault: unknown, logger: ServerLogger, requestId: string): ServingError {
  return toServingError(fault, (err) => logger.error({ err, requestId }, "stream failed"));
}

/** Says the same about a field that has another name in this API. */
export function withParam(error: unknown, from: string, to: string): unknown {
  if (!isServingError(error) || error.param !== from) return error;
  const { code, status, retryAfterS, cause } = error;
  const { message } = error;
  const said = message.startsWith(from) ? `${to}${message.slice(from.length)}` : message;
  return new ServingError(said, {
    code,
    status,
    param: to,
    cause,
    ...(retryAfterS !== undefined && { retryAfterS }),
  });
}
