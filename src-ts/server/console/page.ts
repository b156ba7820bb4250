/** GET / and what it loads: which form of a file a client gets, and under which policy the page runs. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { caching, secure, send } from "../files/sending.js";
import type { ConsoleAssets } from "./assets.js";

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

export function consolePage(
  assets: ConsoleAssets,
  request: FastifyRequest,
  reply: FastifyReply,
): unknown {
  secure(reply, contentSecurityPolicy);
  const { page } = assets;
  if (page !== undefined) return send(page, caching.page, request, reply);
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
  return send(asset, caching.name, request, reply);
}
