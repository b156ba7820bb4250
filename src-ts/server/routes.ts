/** Every route of docs/PROTOCOL.md, and who answers it. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { failure } from "../failures.js";
import { asyncApiDocument } from "../protocol/asyncapi.js";
import { openApiDocument } from "../protocol/openapi.js";
import { SessionBody } from "../protocol/sessions.js";
import { TicketBody } from "../protocol/tickets.js";
import type { Area, Keys } from "./access/keys.js";
import type { Sessions } from "./access/sessions.js";
import type { Tickets } from "./access/tickets.js";
import { countTokens } from "./anthropic/count-tokens.js";
import { anthropicDialect, isAnthropic } from "./anthropic/dialect.js";
import { createMessage } from "./anthropic/messages.js";
import { listAnthropicModels, oneAnthropicModel } from "./anthropic/models.js";
import type { ConsoleAssets } from "./console/assets.js";
import { consoleFile, consolePage } from "./console/page.js";
import type { ServerContext } from "./context.js";
import { docsPage, notBuiltHint } from "./docs/page.js";
import type { DocsSite } from "./docs/site.js";
import { type Handler, type Handlers, type RouteConfig, route } from "./http/app.js";
import { callerOf } from "./http/caller.js";
import { unknownRoute } from "./http/unknown-route.js";
import { chat, generate } from "./ollama/chat.js";
import { ollamaDialect } from "./ollama/dialect.js";
import { embed, embeddings as ollamaEmbeddings } from "./ollama/embed.js";
import { running, show, tags, versions } from "./ollama/models.js";
import { chatCompletions } from "./openai/chat.js";
import { completions } from "./openai/completions.js";
import { embeddings, rerank } from "./openai/embeddings.js";
import { hasModel, listModels, oneModel } from "./openai/models.js";
import {
  cancelResponse,
  createResponse,
  deleteResponse,
  getResponse,
  isResponseId,
  listInputItems,
} from "./openai/responses.js";
import { countInputTokens, detokenize, tokenize } from "./openai/tokenize.js";
import {
  cancelRequest,
  followLive,
  killWorker,
  requestTimeline,
  restartWorker,
  workers,
} from "./operations/admin.js";
import type { KeyUse } from "./operations/key-use.js";
import type { LiveFeed, Standing } from "./operations/live-feed.js";
import type { Metrics } from "./operations/metrics.js";
import { validate } from "./validation/validate.js";

export interface RouteParts {
  sessions: Sessions;
  keys: Keys;
  tickets: Tickets;
  metrics: Metrics;
  keyUse: KeyUse;
  feed: LiveFeed;
  console: ConsoleAssets;
  docs: DocsSite;
  /** Begins to drain; returns at once. */
  drain(): void;
}

const needsNoBody: RouteConfig = { needsNoBody: true };
const operators = (area: Area): RouteConfig => ({ area });

export function addRoutes(app: FastifyInstance, context: ServerContext, parts: RouteParts): void {
  addModels(app, context);
  addOpenAi(app, context);
  addEmbeddings(app, context);
  addTokens(app, context);
  addAnthropic(app, context);
  addOllama(app, context);
  addResponses(app, context);
  addTickets(app, parts);
  addProbes(app, context, parts);
  addAdmin(app, context, parts);
  addSessions(app, parts);
  addConsole(app, parts);
  addDocs(app, parts);
  addDocuments(app);
}

/** Given away: a request lives as long as its stream, and a body needn't. */
function bodyOf(request: FastifyRequest): unknown {
  const { body } = request;
  request.body = undefined;
  return body;
}

function idOf(request: FastifyRequest): string {
  return (request.params as { id: string }).id;
}

function addOpenAi(app: FastifyInstance, context: ServerContext): void {
  route(app, "/v1/chat/completions", {
    POST: (request, reply) => chatCompletions(context, callerOf(request), bodyOf(request), reply),
  });
  route(app, "/v1/completions", {
    POST: (request, reply) => completions(context, callerOf(request), bodyOf(request), reply),
  });
}

function addEmbeddings(app: FastifyInstance, context: ServerContext): void {
  route(app, "/v1/embeddings", {
    POST: (request, reply) => embeddings(context, callerOf(request), bodyOf(request), reply),
  });
  route(app, "/v1/rerank", {
    POST: (request, reply) => rerank(context, callerOf(request), bodyOf(request), reply),
  });
}

/** Below /v1 as the rest, and where vLLM and llama.cpp have them. */
function addTokens(app: FastifyInstance, context: ServerContext): void {
  for (const prefix of ["/v1", ""]) {
    route(app, `${prefix}/tokenize`, {
      POST: (request, reply) => tokenize(context, callerOf(request), bodyOf(request), reply),
    });
    route(app, `${prefix}/detokenize`, {
      POST: (request, reply) => detokenize(context, callerOf(request), bodyOf(request), reply),
    });
  }
}

/** In both APIs: who sends a version of Anthropic's gets its shape. */
function addModels(app: FastifyInstance, { engine }: ServerContext): void {
  /** Those that the key may use. */
  const usable = ({ identity: { owner } }: FastifyRequest) => ({
    models: () => engine.modelsFor(owner),
  });
  const list: Handler = (request) =>
    isAnthropic(request.headers)
      ? listAnthropicModels(usable(request))
      : listModels(usable(request));
  const one: Handler = (request) => {
    const id = (request.params as { "*": string })["*"];
    return isAnthropic(request.headers)
      ? oneAnthropicModel(usable(request), id)
      : oneModel(usable(request), id);
  };
  const either: RouteConfig = {
    dialect: (headers) => (isAnthropic(headers) ? anthropicDialect : undefined),
  };
  route(app, "/v1/models", { GET: list }, either);
  const names = (params: unknown): boolean => hasModel(engine, (params as { "*": string })["*"]);
  route(app, "/v1/models/*", { GET: one }, { ...either, names });
}

function addAnthropic(app: FastifyInstance, context: ServerContext): void {
  const own: RouteConfig = { dialect: () => anthropicDialect };
  const create: Handler = (request, reply) =>
    createMessage(context, callerOf(request), bodyOf(request), reply);
  route(app, "/v1/messages", { POST: create }, own);
  const count: Handler = (request, reply) =>
    countTokens(context, callerOf(request), bodyOf(request), reply);
  route(app, "/v1/messages/count_tokens", { POST: count }, own);
}

function addOllama(app: FastifyInstance, context: ServerContext): void {
  const own: RouteConfig = { dialect: () => ollamaDialect, isAlwaysJson: true };
  const posts = { chat, generate, embed, embeddings: ollamaEmbeddings, show };
  for (const [name, answer] of Object.entries(posts)) {
    const POST: Handler = (request, reply) =>
      answer(context, callerOf(request), bodyOf(request), reply);
    route(app, `/api/${name}`, { POST }, own);
  }
  const list: Handler = ({ identity }) => tags(context.engine, identity.owner);
  route(app, "/api/tags", { GET: list }, own);
  const loaded: Handler = ({ identity }) => running(context.engine, identity.owner);
  route(app, "/api/ps", { GET: loaded }, own);
  route(app, "/api/version", { GET: versions }, own);
  // What is not served of it is refused in its shape too.
  route(app, "/api/*", {}, { ...own, names: () => false });
}

function addResponses(app: FastifyInstance, context: ServerContext): void {
  route(app, "/v1/responses", {
    GET: (_request, reply) => {
      reply.header("upgrade", "websocket");
      const message = "GET /v1/responses is the WebSocket API: it needs an upgrade.";
      throw failure("upgrade_required", { message });
    },
    POST: (request, reply) => createResponse(context, callerOf(request), bodyOf(request), reply),
  });
  route(app, "/v1/responses/input_tokens", {
    POST: (request, reply) => countInputTokens(context, callerOf(request), bodyOf(request), reply),
  });
  const one: Handlers = {
    GET: (request, reply) => {
      const { query } = request;
      return getResponse(context, callerOf(request), { id: idOf(request), query }, reply);
    },
    DELETE: (request) => deleteResponse(context, callerOf(request), idOf(request)),
  };
  const names = (params: unknown): boolean => isResponseId((params as { id: string }).id);
  const named: RouteConfig = { ...needsNoBody, names };
  route(app, "/v1/responses/:id", one, named);
  const items: Handler = (request, reply) => {
    const { query } = request;
    return listInputItems(context, callerOf(request), { id: idOf(request), query }, reply);
  };
  route(app, "/v1/responses/:id/input_items", { GET: items }, { names });
  const cancel: Handler = (request, reply) =>
    cancelResponse(context, callerOf(request), idOf(request), reply);
  route(app, "/v1/responses/:id/cancel", { POST: cancel }, named);
}

function addTickets(app: FastifyInstance, { tickets }: RouteParts): void {
  const issue: Handler = (request, reply) => {
    validate(TicketBody, request.body);
    reply.header("cache-control", "no-store");
    return tickets.issue(request.identity);
  };
  route(app, "/v1/ws-tickets", { POST: issue }, needsNoBody);
}

function addProbes(app: FastifyInstance, { engine }: ServerContext, { metrics }: RouteParts): void {
  route(app, "/health", { GET: () => ({ status: "ok" }) }, { isOpen: true });
  route(app, "/ready", {
    GET: () => {
      const readiness = engine.readiness();
      if (readiness.ready) return { status: "ready" };
      const { reason, retryAfterS } = readiness;
      throw failure("not_ready", { reason, retryAfterS });
    },
  });
  const figures: Handler = async (_request, reply) => {
    reply.type(metrics.contentType);
    return metrics.text();
  };
  route(app, "/metrics", { GET: figures }, operators("metrics"));
}

/** Open, since it is the page that asks for the key; it says nothing about this server. */
function addConsole(app: FastifyInstance, { console }: RouteParts): void {
  route(
    app,
    "/",
    { GET: (request, reply) => consolePage(console, request, reply) },
    { isOpen: true },
  );
  const file: Handler = (request, reply) => {
    const { "*": name } = request.params as { "*": string };
    const sent = consoleFile(console, name, request, reply);
    if (sent === undefined) throw unknownRoute(app, request);
    return sent;
  };
  // No file of it takes anything else: what is posted there was meant for another server.
  route(app, "/console/*", { GET: file }, { isOpen: true, names: () => false });
}

/** Open, as the pages of the repository are. */
function addDocs(app: FastifyInstance, { docs }: RouteParts): void {
  const page: Handler = async (request, reply) => {
    const { "*": path = "" } = request.params as { "*"?: string };
    const sent = await docsPage(docs, path, request, reply);
    if (sent === undefined)
      throw unknownRoute(app, request, docs.isBuilt ? undefined : notBuiltHint);
    return sent;
  };
  for (const url of ["/docs", "/docs/*"]) route(app, url, { GET: page }, { isOpen: true });
}

/** For the console: a page keeps no key. */
function addSessions(app: FastifyInstance, { sessions }: RouteParts): void {
  const handlers: Handlers = {
    POST: (request, reply) => {
      validate(SessionBody, bodyOf(request));
      reply.header("cache-control", "no-store");
      return sessions.begin(request.headers, request.identity);
    },
    DELETE: (request) => {
      sessions.end(request.headers);
      return { ended: true };
    },
  };
  route(app, "/admin/session", handlers, needsNoBody);
}

/** Open, since a client needs them to find out about keys; they say nothing about this server. */
function addDocuments(app: FastifyInstance): void {
  serveOnce(app, "/openapi.json", openApiDocument);
  serveOnce(app, "/asyncapi.json", asyncApiDocument);
}

/** Made when somebody first asks: it never changes, and most servers are never asked. */
function serveOnce(app: FastifyInstance, url: string, make: () => object): void {
  let text: string | undefined;
  const handler: Handler = (_request, reply) => {
    text ??= JSON.stringify(make());
    reply.type("application/json; charset=utf-8");
    return text;
  };
  route(app, url, { GET: handler }, { isOpen: true });
}

/** What let this request in, as it is later on. */
function operatorStanding(
  { headers, identity }: FastifyRequest,
  { sessions, keys }: RouteParts,
): Standing {
  const standing = sessions.standing(headers, identity);
  const { owner } = identity;
  const area: Area = "admin";
  return () =>
    standing() ?? (keys.mayUse(owner, area) ? undefined : failure("admin_not_allowed", { area }));
}

function addAdmin(
  app: FastifyInstance,
  { engine, config }: ServerContext,
  parts: RouteParts,
): void {
  const { drain, feed, keyUse } = parts;
  const admin = operators("admin");
  route(app, "/admin/workers", { GET: () => workers(engine) }, admin);
  route(app, "/admin/keys", { GET: () => keyUse.report() }, admin);
  const follow: Handler = (request, reply) =>
    followLive(feed, reply, config.limits, operatorStanding(request, parts));
  route(app, "/admin/events", { GET: follow }, admin);
  const timeline: Handler = (request) => requestTimeline(engine, idOf(request));
  route(app, "/debug/requests/:id", { GET: timeline }, admin);
  const accepted =
    (act: (request: FastifyRequest) => object): Handler =>
    (request, reply) => {
      reply.code(202);
      return act(request);
    };
  const orders: Readonly<Record<string, (request: FastifyRequest) => object>> = {
    "/admin/workers/:id/restart": (request) => restartWorker(engine, idOf(request)),
    "/admin/workers/:id/kill": (request) => killWorker(engine, idOf(request)),
    "/admin/requests/:id/cancel": (request) => cancelRequest(engine, idOf(request)),
    "/admin/drain": () => {
      drain();
      return { draining: true };
    },
  };
  for (const [path, act] of Object.entries(orders))
    route(app, path, { POST: accepted(act) }, { ...admin, ...needsNoBody });
}
