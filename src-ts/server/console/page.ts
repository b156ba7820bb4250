/** GET / and what it loads: which form of a file a client gets, and under which policy the page runs. */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Asset, ConsoleAssets, Encoding } from "./assets.js";

/**
 * Nothing from elsewhere, nothing inline, nobody frames it; only the sanitizer may make markup of text. `data:` images
 * are those of the page's own style.
 */
export const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types dompurify",
].join("; ");

const notBuilt = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>mlx-serving</title>
<h1>mlx-serving</h1>
<p>The server runs; its console was not built. <code>npm run build</code> builds it.</p>
</html>
`;

const yearS = 31_536_000;

export function consolePage(
  assets: ConsoleAssets,
  request: FastifyRequest,
  reply: FastifyReply,
): unknown {
  reply.header("content-security-policy", contentSecurityPolicy);
  reply.header("referrer-policy", "no-referrer");
  reply.header("cross-origin-opener-policy", "same-origin");
  reply.header("cross-origin-resource-policy", "same-origin");
  // For browsers that don't know `frame-ancestors`.
  reply.header("x-frame-options", "DENY");
  const { page } = assets;
  if (page !== undefined) return send(page, "no-cache", request, reply);
  reply.header("cache-control", "no-store");
  return reply.code(503).type("text/html; charset=utf-8").send(notBuilt);
}

/** Undefined: there is no such file. */
export function consoleFile(
  assets: ConsoleAssets,
  name: string,
  request: FastifyRequest,
  reply: FastifyReply,
): unknown {
  const asset = assets.file(name);
  if (asset === undefined) return undefined;
  reply.header("cross-origin-resource-policy", "same-origin");
  return send(asset, `public, max-age=${yearS}, immutable`, request, reply);
}

function send(
  { type, etag, bodies }: Asset,
  caching: string,
  { headers }: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  reply.header("etag", etag).header("cache-control", caching);
  const before = reply.getHeader("vary");
  reply.header("vary", before === undefined ? "accept-encoding" : `${before}, accept-encoding`);
  if (names(headers["if-none-match"], etag)) return reply.code(304).send();
  const encoding = encodingFor(headers["accept-encoding"]);
  if (encoding !== "identity") reply.header("content-encoding", encoding);
  return reply.type(type).send(bodies[encoding]);
}

function names(ifNoneMatch: string | undefined, etag: string): boolean {
  const tags = ifNoneMatch?.split(",").map((tag) => tag.trim().replace(/^W\//, "")) ?? [];
  return tags.includes(etag) || tags.includes("*");
}

/** The smallest form that the client takes. */
export function encodingFor(accepted: string | undefined): Encoding {
  const quality = new Map<string, number>();
  for (const one of accepted?.toLowerCase().split(",") ?? []) {
    const [name = "", ...parameters] = one.split(";").map((text) => text.trim());
    const q = parameters.find((text) => text.startsWith("q="))?.slice(2);
    quality.set(name, q === undefined ? 1 : Number(q));
  }
  const takes = (name: string) => (quality.get(name) ?? quality.get("*") ?? 0) > 0;
  return takes("br") ? "br" : takes("gzip") ? "gzip" : "identity";
}
