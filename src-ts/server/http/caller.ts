/** Who asks over HTTP: the key, the headers, and what the body holds. */
import type { FastifyRequest } from "fastify";
import type { BodyLease } from "../bodies/budget.js";
import type { Caller } from "../submissions/caller.js";
import { envelopeOf, originOf } from "./request-headers.js";

/** `lease`: what the body holds until it is a prompt. */
export type HttpCaller = Caller & { lease: BodyLease | undefined };

export function callerOf({ id, identity, headers, lease }: FastifyRequest): HttpCaller {
  return { ...identity, ...envelopeOf(headers), origin: originOf(id, headers), lease };
}
