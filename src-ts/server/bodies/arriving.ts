/**
 * Bodies over HTTP on their way in: each holds its bytes from their arrival until the request is a
 * prompt, or is over. A hook before parsing, after whatever decodes: it counts what will be kept.
 */
import { Transform, type TransformCallback } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest, RequestPayload } from "fastify";
import { bodyBytesUncounted, refusedBytesMax } from "../../protocol/limits.js";
import type { BodyBudget, BodyLease } from "./budget.js";

declare module "fastify" {
  interface FastifyRequest {
    /** Undefined where no body comes. */
    lease: BodyLease | undefined;
  }
}

export function holdBodies(app: FastifyInstance, bodies: BodyBudget): void {
  app.decorateRequest("lease", undefined);
  app.addHook("preParsing", async (request, reply, payload) => {
    if (!hasBody(request) || !request.identity) return payload;
    const lease = bodies.lease(request.identity.clientId);
    request.lease = lease;
    reply.raw.once("close", () => lease.release());
    const declared = declaredBytes(request);
    if (declared > bodyBytesUncounted) return payload.pipe(new Counted(payload, lease));
    lease.hold(declared);
    return payload;
  });
}

/**
 * What still comes of a refused body is read and dropped. A connection that is closed on somebody who
 * still sends is reset, and takes the answer with it.
 */
export function dropRest({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (raw.complete || raw.destroyed) return;
  reply.removeHeader("connection");
  let left = refusedBytesMax;
  raw.unpipe();
  raw.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) raw.destroy();
  });
  raw.resume();
}

function hasBody({ headers }: FastifyRequest): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** Infinity where the headers don't say what will be kept. */
function declaredBytes({ headers }: FastifyRequest): number {
  if (headers["transfer-encoding"] !== undefined || headers["content-encoding"] !== undefined)
    return Number.POSITIVE_INFINITY;
  return Number(headers["content-length"]);
}

class Counted extends Transform {
  private arrived = 0;

  constructor(
    private readonly source: RequestPayload,
    private readonly lease: BodyLease,
  ) {
    super();
    source.on("error", (error) => this.destroy(error));
  }

  /** What came over the wire, where that is another number: the framework compares it. */
  get receivedEncodedLength(): number | undefined {
    return this.source.receivedEncodedLength;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.arrived += chunk.length;
    try {
      this.lease.hold(this.arrived);
    } catch (error) {
      return done(error as Error);
    }
    done(null, chunk);
  }
}
