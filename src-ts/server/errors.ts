/** What any failure looks like to a client: a ServingError with its headers, and nothing else. */
import type { FastifyError } from "fastify";
import { isServingError, ServingError } from "../errors.js";
import { acceptedEncodings } from "./bodies/content-encoding.js";
import type { ServerLogger } from "./options.js";
import { shown } from "./validation/shown.js";

const retryAfterDefaultS = 1;

/** `Retry-After` where trying again may help, `x-should-retry: false` where it can't. */
export function errorHeaders(error: ServingError): Record<string, string> {
  const headers: Record<string, string> = { "content-type": "application/json; charset=utf-8" };
  if (error.status === 429 || error.status === 503)
    headers["retry-after"] = String(error.retryAfterS ?? retryAfterDefaultS);
  if (error.code === "unsupported_encoding") headers["accept-encoding"] = acceptedEncodings;
  if (error.status === 401) headers["www-authenticate"] = "Bearer";
  if (error.status === 409) headers["x-should-retry"] = "false";
  return headers;
}

type Outcome = { code: string; status: number; message: string };

/** Errors of the framework that are the client's doing. */
const frameworkErrors: Readonly<Record<string, Outcome>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: {
    code: "request_too_large",
    status: 413,
    message: "The request body is larger than this server takes.",
  },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    code: "unsupported_media_type",
    status: 415,
    message: "The body must be JSON: send Content-Type: application/json.",
  },
  FST_ERR_ROUTE_MISSING_CONTENT_TYPE: {
    code: "unsupported_media_type",
    status: 415,
    message: "This method needs a body with a Content-Type.",
  },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    code: "invalid_request",
    status: 400,
    message: "The body is not as long as Content-Length says.",
  },
  FST_ERR_BAD_URL: { code: "invalid_url", status: 400, message: "The path is not a valid URL." },
};

/** `report` gets what is the server's fault; the client is not told more than that. */
export function toServingError(error: unknown, report: (fault: unknown) => void): ServingError {
  if (isServingError(error)) return error;
  const known = frameworkErrors[(error as Partial<FastifyError>).code ?? ""];
  if (known !== undefined) return new ServingError(known.message, { ...known, cause: error });
  report(error);
  return new ServingError("Something went wrong inside the server; its log says what.", {
    code: "internal_error",
    status: 500,
    cause: error,
  });
}

/** A fault in the middle of a stream. */
export function reported(fault: unknown, logger: ServerLogger): ServingError {
  return toServingError(fault, (err) => logger.error({ err }, "stream failed"));
}

export function notFound(message: string, code: string, param: string | null = null): ServingError {
  return new ServingError(message, { code, status: 404, param });
}

export function responseNotFound(id: string): ServingError {
  return notFound(`There is no response ${shown(id)}.`, "response_not_found", "response_id");
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

export function tooSlow(): ServingError {
  return new ServingError("This reader is too slow; the response goes on and can be resumed.", {
    code: "consumer_too_slow",
    status: 503,
  });
}
