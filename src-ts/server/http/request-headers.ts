/** What a request says beside its body: its id, its deadline, its priority, its idempotency key. */
import { randomUUID } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import type { Priority } from "../../protocol/fields.js";
import { priorityValues } from "../../protocol/fields.js";
import * as limits from "../../protocol/limits.js";
import type { Caller } from "../submissions/caller.js";

type Origin = Caller["origin"];

/** What a submission needs and no body holds. */
export type Envelope = Pick<Caller, "deadlineMs" | "priority" | "idempotencyKey">;

const printable = /^[\x21-\x7e]+$/;

/** The client's own, if it is short and printable. */
export function requestIdOf(headers: IncomingHttpHeaders): string {
  const given = headers["x-request-id"];
  const isUsable =
    typeof given === "string" && given.length <= limits.requestIdCharsMax && printable.test(given);
  return isUsable ? given : `req_${randomUUID().replaceAll("-", "")}`;
}

/**
 * The call that this request is, and the trace that it is part of. What is no trace context is for whoever reads it
 * to pass over: it is no reason to refuse a request.
 */
export function originOf(requestId: string, headers: IncomingHttpHeaders): Origin {
  const { traceparent, tracestate } = headers;
  return withTrace({ requestId }, traceparent, tracestate);
}

/** The same origin, with this trace if it could be one. */
export function withTrace(origin: Origin, traceparent: unknown, tracestate: unknown): Origin {
  if (!isShort(traceparent, limits.traceparentCharsMax)) return origin;
  const state = isShort(tracestate, limits.tracestateCharsMax) ? tracestate : undefined;
  return { ...origin, traceparent, tracestate: state };
}

function isShort(value: unknown, charsMax: number): value is string {
  return typeof value === "string" && value.length <= charsMax;
}

/** Throws 400 that names the header. */
export function envelopeOf(headers: IncomingHttpHeaders): Envelope {
  return {
    deadlineMs: deadlineOf(headers["x-mlx-serving-deadline-ms"]),
    priority: priorityOf(headers["x-mlx-serving-priority"]),
    idempotencyKey: idempotencyKeyOf(headers["idempotency-key"]),
  };
}

function deadlineOf(value: string | string[] | undefined): number | undefined {
  if (value === undefined) return undefined;
  const ms = /^[0-9]{1,9}$/.test(String(value)) ? Number(value) : 0;
  if (ms >= 1 && ms <= limits.deadlineMsMax) return ms;
  const expected = `an integer from 1 to ${limits.deadlineMsMax}`;
  throw wrongHeader("x-mlx-serving-deadline-ms", expected);
}

function priorityOf(value: string | string[] | undefined): Priority | undefined {
  if (value === undefined) return undefined;
  const known = priorityValues.find((priority) => priority === value);
  if (known === undefined)
    throw wrongHeader("x-mlx-serving-priority", `one of ${priorityValues.join(", ")}`);
  return known;
}

function idempotencyKeyOf(value: string | string[] | undefined): string | undefined {
  if (value === undefined) return undefined;
  const key = String(value);
  if (key.length <= limits.idempotencyKeyCharsMax && printable.test(key)) return key;
  const expected = `1 to ${limits.idempotencyKeyCharsMax} printable characters without spaces`;
  throw wrongHeader("idempotency-key", expected);
}

function wrongHeader(name: string, expected: string): ServingError {
  const message = `The header ${name} must be ${expected}.`;
  return failure("invalid_header", { message, param: name });
}
