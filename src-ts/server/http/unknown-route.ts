/** What is said of a route that isn't there: which one was asked for, and what was probably meant. */
import type { FastifyInstance, FastifyRequest, HTTPMethods } from "fastify";
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import { nearest } from "../../nearest.js";
import { shown } from "../validation/shown.js";

/** Of every route of the APIs. */
const prefix = "/v1";

/** `hint`: what is said of it, where that is known. */
export function unknownRoute(
  app: FastifyInstance,
  request: FastifyRequest,
  hint?: string,
): ServingError {
  const path = pathOf(request);
  const meant = candidates(path).find((url) => hasRoute(app, request, url));
  const near = meant ?? (path.startsWith(ollamaPrefix) ? undefined : misspelt(app, request, path));
  return failure("unknown_route", {
    route: `${request.method} ${shown(path)}`,
    hint: hint ?? (near === undefined ? hintOf(app, path) : `Did you mean ${near}?`),
  });
}

const ollamaPrefix = "/api/";

/** Undefined: the general one. */
function hintOf(app: FastifyInstance, path: string): string | undefined {
  if (!path.startsWith(ollamaPrefix)) return undefined;
  const there = [...app.paths].filter((one) => one.startsWith(ollamaPrefix) && !/[*:]/.test(one));
  return `Of Ollama's API there are ${there.slice(0, -1).join(", ")} and ${there.at(-1)}.`;
}

/** Without its query, which may hold what is nobody's business. */
function pathOf({ url }: FastifyRequest): string {
  return url.split("?", 1)[0]!;
}

/** A base address with the prefix twice, or without it. */
function candidates(path: string): string[] {
  const bare = path.replace(/\/+$/, "").replace(/^\/+/, "/");
  const once = bare.replace(/^(\/v1)+(?=\/)/, prefix);
  return [once, `${prefix}${bare}`, bare.replace(/^\/v1(?=\/)/, "")];
}

/** One that is spelt nearly so, and takes this method. */
function misspelt(app: FastifyInstance, request: FastifyRequest, path: string): string | undefined {
  // Under another separator it is one name: what comes last says the least.
  const named = (url: string) => url.replace(/^(\/v1)?\//, "").replaceAll("/", ".");
  const there = [...app.paths].filter((one) => !/[*:]/.test(one) && hasRoute(app, request, one));
  const found = nearest(named(path.replace(/\/+$/, "")), there.map(named));
  return there.find((one) => named(one) === found);
}

/** A route without parameters: what is said of a client's own path is a name of ours. */
function hasRoute(app: FastifyInstance, { method, url }: FastifyRequest, wanted: string): boolean {
  return wanted !== url && app.hasRoute({ method: method as HTTPMethods, url: wanted });
}
