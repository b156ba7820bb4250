/** A file that goes to browsers: in which of its forms a client gets it, and for how long it may keep it. */
import type { FastifyReply, FastifyRequest } from "fastify";

export type Encoding = "br" | "gzip" | "identity";

export interface Asset {
  type: string;
  etag: string;
  /** By what `Accept-Encoding` calls them; at least that which this client gets. */
  bodies: Readonly<Partial<Record<Encoding, Buffer>>>;
}

const yearS = 31_536_000;

/** `name`: holds the content's hash, so it never means anything else. `page`: is asked for again each time. */
export const caching = { name: `public, max-age=${yearS}, immutable`, page: "no-cache" } as const;

/** Before which others a page goes that nobody may frame or open from elsewhere. */
export function secure(reply: FastifyReply, contentSecurityPolicy: string): void {
  reply.header("content-security-policy", contentSecurityPolicy);
  reply.header("referrer-policy", "no-referrer");
  reply.header("cross-origin-opener-policy", "same-origin");
  reply.header("cross-origin-resource-policy", "same-origin");
  // For browsers that don't know `frame-ancestors`.
  reply.header("x-frame-options", "DENY");
}

export function send(
  { type, etag, bodies }: Asset,
  cacheControl: string,
  { headers }: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  reply.header("etag", etag).header("cache-control", cacheControl);
  const before = reply.getHeader("vary");
  reply.header("vary", before === undefined ? "accept-encoding" : `${before}, accept-encoding`);
  if (names(headers["if-none-match"], etag)) return reply.code(304).send();
  const encoding = encodingFor(headers["accept-encoding"], Object.keys(bodies) as Encoding[]);
  if (encoding !== "identity") reply.header("content-encoding", encoding);
  return reply.type(type).send(bodies[encoding]);
}

function names(ifNoneMatch: string | undefined, etag: string): boolean {
  const tags = ifNoneMatch?.split(",").map((tag) => tag.trim().replace(/^W\//, "")) ?? [];
  return tags.includes(etag) || tags.includes("*");
}

const smallestFirst = ["br", "gzip"] as const;

/** The smallest form of those there are that the client takes. */
export function encodingFor(
  accepted: string | undefined,
  available: readonly Encoding[] = smallestFirst,
): Encoding {
  const quality = new Map<string, number>();
  for (const one of accepted?.toLowerCase().split(",") ?? []) {
    const [name = "", ...parameters] = one.split(";").map((text) => text.trim());
    const q = parameters.find((text) => text.startsWith("q="))?.slice(2);
    quality.set(name, q === undefined ? 1 : Number(q));
  }
  const takes = (name: string) => (quality.get(name) ?? quality.get("*") ?? 0) > 0;
  return smallestFirst.find((name) => available.includes(name) && takes(name)) ?? "identity";
}
