/**
 * What a message of a WebSocket client says before its schema looks at it: its type, and what an error
 * about it repeats. Knows no socket.
 */
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import { clientMessageTypes } from "../../protocol/events.js";

/** Of a message, what an error about it repeats. */
export interface Correlation {
  event_id?: string | undefined;
  stream_id?: string | undefined;
}

/** Throws for what is no message at all. */
export function typeOf(message: unknown): string {
  const isObject = typeof message === "object" && message !== null && !Array.isArray(message);
  const { type } = isObject ? (message as { type?: unknown }) : {};
  if (typeof type === "string") return type;
  if (isObject && type === undefined) throw failure("missing_parameter", { param: "type" });
  throw failure("unknown_event_type", {
    message: "A message is an object with a type.",
    param: "type",
  });
}

export function unknownType(): ServingError {
  const known = clientMessageTypes.join(", ");
  const message = `This server knows no such type; it knows ${known}.`;
  return failure("unknown_event_type", { message, param: "type" });
}

/** Also of a message that is wrong otherwise, if these two fields are usable. */
export function correlationOf(message: unknown): Correlation {
  if (typeof message !== "object" || message === null) return {};
  const { event_id, stream_id } = message as Record<string, unknown>;
  return {
    ...(isShort(event_id) && { event_id }),
    ...(isShort(stream_id) && { stream_id }),
  };
}

/**
 * The trace that one message is part of, among many on a socket: where Codex writes what would be headers over HTTP.
 * Of no API's schema, and so read before any.
 */
export function traceOf(message: unknown): { traceparent: unknown; tracestate: unknown } {
  const { client_metadata: metadata } = message as { client_metadata?: unknown };
  const {
    ws_request_header_traceparent: traceparent = undefined,
    ws_request_header_tracestate: tracestate = undefined,
  } =
    typeof metadata === "object" && metadata !== null ? (metadata as Record<string, unknown>) : {};
  return { traceparent, tracestate };
}

const repeatedCharsMax = 512;

function isShort(value: unknown): value is string {
  return typeof value === "string" && value.length <= repeatedCharsMax && value.isWellFormed();
}
