/**
 * How long to wait before trying again, and what isn't worth another try. Pure: chance comes in, time
 * passes elsewhere.
 */
import { type ClientError, ConnectError } from "./errors.js";

const backoffBaseMs = 100;
const backoffMaxMs = 5_000;
/** Longer than that nobody is believed. */
const retryAfterMsMax = 60_000;

/** Bad UTF-8, policy, too big: the same again would end the same way. */
const finalCloseCodes = new Set([1007, 1008, 1009]);
/** Statuses below 500 that pass by themselves. */
const passingStatuses = new Set([408, 425, 429]);

/** Full jitter: anything up to a bound that doubles with each attempt. The first is attempt 1. */
export function backoffMs(attempt: number, random: () => number): number {
  return random() * Math.min(backoffMaxMs, backoffBaseMs * 2 ** (attempt - 1));
}

/** What the other side asked for, in ms. */
export function retryAfterMs(error: ClientError): number {
  if (!(error instanceof ConnectError)) return 0;
  return Math.min(error.retryAfterMs ?? 0, retryAfterMsMax);
}

export function isFinalClose(closeCode: number): boolean {
  return finalCloseCodes.has(closeCode);
}

/** Nobody there, no answer in time, no ticket, overload, a fault: those pass. A refusal doesn't. */
export function isFinalRefusal({ status }: ClientError): boolean {
  return status !== undefined && status < 500 && !passingStatuses.has(status);
}
