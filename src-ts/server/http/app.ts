/**
 * The HTTP side: one fastify application with the checks that every request passes (Host, Origin,
 * key), JSON in and out, and an error for everything else. Routes are in `routes.ts`.
 */

import type { IncomingHttpHeaders } from "node:http";
import type { Socket } from "node:net";
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type HTTPMethods,
} from "fastify";
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import { tcpKeepAliveMs } from "../../protocol/limits.js";
import type { HostPolicy } from "../access/hosts.js";
import type { Area, Asker, Keys } from "../access/keys.js";
import type { Limits } from "../access/limits.js";
import type { Sessions } from "../access/sessions.js";
import { dropRest, holdBodies } from "../bodies/arriving.js";
import type { BodyBudget } from "../bodies/budget.js";
import { type BodyConfig, takeBodies } from "../bodies/parser.js";
import { type Dialect, errorHeaders, openAiDialect, toServingError } from "../errors.js";
import type { ServerConfig, ServerLogger } from "../options.js";
import { exposedRateHeaders } from "../render/rate-headers.js";
import { alsoIgnored, ignoredHeader } from "../validation/tolerance.js";
import { serveHalfClosed } from "./half-closed.js";
import { envelopeOf, requestIdOf } from "./request-headers.js";
import { unknownRoute } from "./unknown-route.js";

export interface HttpParts {
  config: ServerConfig;
  logger: ServerLogger;
  sessions: Sessions;
  keys: Keys;
  limits: Limits;
  hosts: HostPolicy;
  bodies: BodyBudget;
  /** Is told of every error that a client gets. */
  onError?(error: ServingError): void;
}

export interface RouteConfig extends BodyConfig {
  /** Answers without a key. */
  isOpen?: boolean;
  /** Not every key may use it. */
  area?: Area;
  /** Whose shape this request's errors have; undefined: OpenAI's. */
  dialect?: (headers: IncomingHttpHeaders) => Dialect | undefined;
  /** Of a path with a parameter: whether it can name anything. Else a method that isn't there is no route. */
  names?: (params: unknown) => boolean;
}

declare module "fastify" {
  interface FastifyInstance {
    /** Of all routes, as they were registered. */
    readonly paths: ReadonlySet<string>;
  }
  interface FastifyRequest {
    /** Set for every route that needs a key. */
    identity: Asker;
    /** What is left of the rates of its key, once it is counted. */
    rateHeaders: () => Record<string, string>;
  }
  interface FastifyContextConfig extends RouteConfig {}
}

const methods = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;
type Method = (typeof methods)[number];

/** Known to the framework and to no route; those of `methods` that a route lacks are refused with them. */
const unusedMethods = ["QUERY", "TRACE"] as const;

export type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown;
export type Handlers = Partial<Record<Method, Handler>>;

/** A path parameter may be a model id. */
const paramCharsMax = 1024;

export function createApp(parts: HttpParts): FastifyInstance {
  const { limits } = parts.config;
  const app = fastify({
    logger: false,
    bodyLimit: limits.bodyBytesMax,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    forceCloseConnections: "idle",
    return503OnClosing: false,
    genReqId: (request) => requestIdOf(request.headers),
    routerOptions: {
      maxParamLength: paramCharsMax,
      // What a base address with a slash at its end makes of a path.
      ignoreTrailingSlash: true,
      ignoreDuplicateSlashes: true,
    },
    clientErrorHandler: (error, socket) => refuseMalformed(error, socket as Socket),
    frameworkErrors: (error, request, reply) => {
      checkAndStamp(parts, request, reply);
      sendError(parts, error, request, reply);
    },
    http: {
      headersTimeout: limits.headersTimeoutMs,
      maxHeaderSize: limits.headerBytesMax,
      // Finds out about clients that have gone without a word.
      keepAlive: true,
      keepAliveInitialDelay: tcpKeepAliveMs,
      connectionsCheckingInterval: Math.min(limits.headersTimeoutMs, 5_000),
    },
  });
  const paths = new Set<string>();
  app.decorate("paths", paths);
  app.addHook("onRoute", ({ url }) => void paths.add(url));
  app.server.maxConnections = limits.connectionsMax;
  serveHalfClosed(app.server);
  addHooks(app, parts);
  holdBodies(app, parts.bodies);
  takeBodies(app, limits);
  app.setErrorHandler((error, request, reply) => sendError(parts, error, request, reply));
  app.setNotFoundHandler((request) => {
    throw unknownRoute(app, request);
  });
  return app;
}

/** Registers a path; every method that it doesn't have is a 405 that names those it has. */
export function route(
  app: FastifyInstance,
  url: string,
  handlers: Handlers,
  config: RouteConfig = {},
): void {
  for (const [method, handler] of Object.entries(handlers))
    app.route({ method: method as HTTPMethods, url, handler, config });
  const allow = Object.keys(handlers).join(", ");
  const refuse = async (request: FastifyRequest, reply: FastifyReply) => {
    if (config.names?.(request.params) === false) throw unknownRoute(app, request);
    reply.header("allow", allow);
    throw failure("method_not_allowed", { allowed: allow });
  };
  const others = [...methods, ...unusedMethods].filter((method) => !(method in handlers));
  // Before the framework looks for a body of the right kind.
  app.route({ method: others, url, onRequest: refuse, handler: refuse, config });
}

function addHooks(app: FastifyInstance, parts: HttpParts): void {
  const { logger } = parts;
  app.decorateRequest("identity", null as unknown as Asker);
  app.decorateRequest("rateHeaders", noHeaders);
  app.addHook("onRequest", async (request, reply) => {
    checkAndStamp(parts, request, reply);
    if (request.method === "OPTIONS") return preflight(request, reply);
    identify(parts, request, reply);
  });
  // Streams are out of the framework's hands, and ask for them as well.
  app.addHook("onSend", async (request, reply) => {
    reply.headers(request.rateHeaders());
  });
  app.addHook("onResponse", async (request, reply) => {
    // The route's pattern, not its path: ids are nobody's business in a log.
    const route = request.routeOptions.url ?? "unknown";
    const { method, id: requestId } = request;
    const ms = Math.round(reply.elapsedTime);
    logger.debug({ method, route, status: reply.statusCode, ms, requestId }, "request");
  });
}

const noHeaders = (): Record<string, string> => ({});

/** Throws 401 and 403. */
function identify(parts: HttpParts, request: FastifyRequest, reply: FastifyReply): void {
  const { sessions, keys, limits } = parts;
  const { headers, method } = request;
  const { isOpen, area } = request.routeOptions.config;
  if (isOpen && !sessions.areNamed(headers)) return;
  request.identity = sessions.identify(headers, request.ip);
  const { owner } = request.identity;
  if (area !== undefined && !keys.mayUse(owner, area)) throw failure("admin_not_allowed", { area });
  if (method !== "POST") return;
  const key = keys.find(owner);
  if (key === undefined) return;
  request.rateHeaders = () =>
    dialectOf(request).rateHeaders({
      requests: limits.rate(key, "requestsPerMinute"),
      tokens: limits.rate(key, "tokensPerMinute"),
    });
  checkPriority(parts, request, reply);
}

const priorityHeader = "x-mlx-serving-priority";

/** One that is higher than the key's is lowered, and said to be. */
function checkPriority(
  { keys, config, logger }: HttpParts,
  request: FastifyRequest,
  reply: FastifyReply,
) {
  if (request.headers[priorityHeader] === undefined) return;
  const { priority } = envelopeOf(request.headers);
  if (!keys.lowers(request.identity.owner, priority)) return;
  if (config.strict) throw failure("priority_not_allowed", { param: priorityHeader });
  alsoIgnored({ logger }, reply, [priorityHeader]);
}

/** Headers first, so that an error has them too. */
function checkAndStamp({ hosts }: HttpParts, request: FastifyRequest, reply: FastifyReply): void {
  const { origin } = request.headers;
  reply.header(dialectOf(request).requestIdHeader, request.id);
  reply.header("x-request-id", request.id);
  reply.header("x-content-type-options", "nosniff");
  hosts.check(request.raw);
  if (origin === undefined) return;
  reply.header("access-control-allow-origin", origin);
  reply.header("access-control-expose-headers", exposedHeaders);
  reply.header("vary", "origin");
}

const exposedHeaders = [
  ...["x-request-id", "request-id", "retry-after", ignoredHeader],
  ...exposedRateHeaders,
].join(", ");

/** Only an origin that has passed the check comes here; a browser asks before it sends. */
function preflight(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const wanted = request.headers["access-control-request-headers"];
  reply.header("access-control-allow-methods", methods.join(", "));
  if (wanted !== undefined) reply.header("access-control-allow-headers", wanted);
  // Asked by pages of the internet, of a server on the user's own machine or network.
  if (request.headers["access-control-request-private-network"] === "true")
    reply.header("access-control-allow-private-network", "true");
  return reply.header("access-control-max-age", "600").code(204).send();
}

function sendError(
  { logger, onError }: HttpParts,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const known = toServingError(error, (fault) => {
    // A client that leaves in the middle of its body is no fault, and nobody is there to be told.
    const level = request.raw.destroyed && !request.raw.complete ? "debug" : "error";
    logger[level]({ err: fault, requestId: request.id }, "request failed");
  });
  onError?.(known);
  dropRest(request, reply);
  const body = dialectOf(request).errorBody(known, request.id);
  reply.code(known.status).headers(errorHeaders(known)).send(body);
}

/** What has no route has OpenAI's. */
function dialectOf({ routeOptions, headers }: FastifyRequest): Dialect {
  return routeOptions.config?.dialect?.(headers) ?? openAiDialect;
}

const malformed = {
  HPE_HEADER_OVERFLOW: "headers_too_large",
  ERR_HTTP_REQUEST_TIMEOUT: "request_timeout",
} as const;

/** What isn't HTTP, or doesn't come to its end, never becomes a request. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const known = failure(malformed[error.code as keyof typeof malformed] ?? "invalid_http");
  const { status, code } = known;
  const body = JSON.stringify({ error: known.toBody() });
  const head = [
    `HTTP/1.1 ${status} ${code}`,
    "content-type: application/json; charset=utf-8",
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestIdOf({})}`,
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`, () => socket.destroy());
}
