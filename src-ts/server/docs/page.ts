/** GET /docs and what is below it: pages, their files, and what is said where there is none. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { caching, secure, send } from "../files/sending.js";
import type { DocsSite } from "./site.js";

/** Of the one style that the pages' script puts in, while it changes from light to dark. */
const colourChange = "sha256-skqujXORqzxt1aE0NNXxujEanPTX6raoqSscTV/Ww/Y=";

/**
 * Nothing from elsewhere, no script in a page, nobody frames it. Attributes may have styles: the renderer of the pages
 * writes some. `vue` makes markup of what the build has put into the page's own files.
 */
export const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  `style-src 'self' '${colourChange}'`,
  "style-src-attr 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types vue",
].join("; ");

export const notBuiltHint =
  "The documentation was not built: `npm run docs:site` in a clone does it. The same pages are in the package's folder docs.";

const notBuilt = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>mlx-serving</title>
<h1>Documentation</h1>
<p>${notBuiltHint.replace(/`([^`]*)`/, "<code>$1</code>")}</p>
</html>
`;

const notFoundPage = "404.html";

/** Names with their content's hash in them. */
const isHashed = (name: string) => name.startsWith("assets/");

/** Undefined: there is no such page, and the client asked for none that a person reads. */
export async function docsPage(
  site: DocsSite,
  path: string,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply | undefined> {
  const isRead = request.headers.accept?.includes("text/html") === true;
  if (!site.isBuilt) return isRead ? sendNotBuilt(reply) : undefined;
  const name = site.find(path);
  if (name === undefined)
    return isRead ? sendFile(site, notFoundPage, request, reply.code(404)) : undefined;
  // The pages' own scripts know them by their whole address.
  if (path === "" && /^\/docs(?:\?|$)/.test(request.url)) return reply.redirect("/docs/", 308);
  return sendFile(site, name, request, reply);
}

async function sendFile(
  site: DocsSite,
  name: string,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const asset = await site.read(name, request.headers["accept-encoding"]);
  if (isHashed(name)) {
    reply.header("cross-origin-resource-policy", "same-origin");
    return send(asset, caching.name, request, reply);
  }
  secure(reply, contentSecurityPolicy);
  return send(asset, caching.page, request, reply);
}

function sendNotBuilt(reply: FastifyReply): FastifyReply {
  secure(reply, contentSecurityPolicy);
  reply.header("cache-control", "no-store");
  return reply.code(404).type("text/html; charset=utf-8").send(notBuilt);
}
