/**
 * Bodies over HTTP on their way in: each holds its bytes from their arrival until the request is a
 * prompt, or is over. A hook before parsing, after whatever decodes: it counts what will be kept.
 */
import { Transform, type TransformCallback } from "node:stream";
import type { FastifyInstance, FastifyRequest, RequestPayload } from "fastify";
import { bodyBytesUncounted } from "../protocol/limits.js";
import type { Bodies, BodyLease } from "./bodies.js";

declare module "fastify" {
  interface FastifyRequest {
    /** Undefined where no body comes. */
    lease: BodyLease | undefined;
  }
}

export function holdBodies(app: FastifyInstance, bodies: Bodies): void {
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
    this.on("close", () => source.unpipe(this));
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
