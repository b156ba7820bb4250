/** What Anthropic's API has of its own at every answer, and how a request for it is known. */
import type { IncomingHttpHeaders } from "node:http";
import type { Dialect } from "../errors.js";
import { anthropicError } from "../render/anthropic-error.js";
import { anthropicRateHeaders } from "../render/rate-headers.js";

export const anthropicDialect: Dialect = {
  requestIdHeader: "request-id",
  errorBody: anthropicError,
  rateHeaders: (rates) => anthropicRateHeaders(rates, Date.now()),
};

/** On routes that OpenAI's API has too: its clients always send the version that they speak. */
export function isAnthropic(headers: IncomingHttpHeaders): boolean {
  return headers["anthropic-version"] !== undefined;
}
