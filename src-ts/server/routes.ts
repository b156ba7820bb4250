/** Every route of docs/PROTOCOL.md, and who answers it. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { failure } from "../failures.js";
import { asyncApiDocument } from "../protocol/asyncapi.js";
import { openApiDocument } from "../protocol/openapi.js";
import { TicketBody } from "../protocol/tickets.js";
import type { Area, Keys } from "./access/keys.js";
import type { Tickets } from "./access/tickets.js";
import { countTokens } from "./anthropic/count-tokens.js";
import { anthropicDialect, isAnthropic } from "./anthropic/dialect.js";
import { createMessage } from "./anthropic/messages.js";
import { listAnthropicModels, oneAnthropicModel } from "./anthropic/models.js";
import type { ServerContext } from "./context.js";
import { type Handler, type Handlers, type RouteConfig, route } from "./http/app.js";
import { callerOf } from "./http/caller.js";
import { chat, generate } from "./ollama/chat.js";
import { ollamaDialect } from "./ollama/dialect.js";
import { show, tags, versions } from "./ollama/models.js";
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
import { restartWorker, workers } from "./operations/admin.js";
import type { KeyUse } from "./operations/key-use.js";
import type { Metrics } from "./operations/metrics.js";
import { contentSecurityPolicy, statusPage } from "./operations/status-page.js";
import { validate } from "./validation/validate.js";

export interface RouteParts {
  keys: Keys;
  tickets: Tickets;
  metrics: Metrics;
  keyUse: KeyUse;
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
  const own: RouteConfig = { dialect: () => ollamaDialect };
  route(
    app,
    "/api/chat",
    { POST: (request, reply) => chat(context, callerOf(request), bodyOf(request), reply) },
    own,
  );
  route(
    app,
    "/api/generate",
    { POST: (request, reply) => generate(context, callerOf(request), bodyOf(request), reply) },
    own,
  );
  const list: Handler = ({ identity }) => tags(context.engine, identity.owner);
  route(app, "/api/tags", { GET: list }, own);
  route(
    app,
    "/api/show",
    { POST: (request, reply) => show(context, callerOf(request), bodyOf(request), reply) },
    own,
  );
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
  route(app, "/v1/responses/:id", one, { ...needsNoBody, names });
  const items: Handler = (request, reply) => {
    const { query } = request;
    return listInputItems(context, callerOf(request), { id: idOf(request), query }, reply);
  };
  route(app, "/v1/responses/:id/input_items", { GET: items });
  const cancel: Handler = (request, reply) =>
    cancelResponse(context, callerOf(request), idOf(request), reply);
  route(app, "/v1/responses/:id/cancel", { POST: cancel }, needsNoBody);
}

function addTickets(app: FastifyInstance, { tickets }: RouteParts): void {
  const issue: Handler = (request, reply) => {
    validate(TicketBody, request.body);
    reply.header("cache-control", "no-store");
    return tickets.issue(request.identity);
  };
  route(app, "/v1/ws-tickets", { POST: issue }, needsNoBody);
}

function addProbes(
  app: FastifyInstance,
  { engine }: ServerContext,
  { keys, metrics }: RouteParts,
): void {
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
  const mayShow = ({ identity }: FastifyRequest) =>
    !keys.required || (identity !== null && keys.mayUse(identity.owner, "admin"));
  const page = (request: FastifyRequest) => statusPage(engine, { mayShow: mayShow(request), keys });
  route(
    app,
    "/",
    {
      GET: (request, reply) => {
        reply.type("text/html; charset=utf-8");
        reply.header("content-security-policy", contentSecurityPolicy);
        reply.header("cache-control", "no-store");
        reply.header("referrer-policy", "no-referrer");
        return page(request);
      },
    },
    { isOpen: true },
  );
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

function addAdmin(
  app: FastifyInstance,
  { engine }: ServerContext,
  { drain, keyUse }: RouteParts,
): void {
  const admin = operators("admin");
  const withoutBody = { ...admin, ...needsNoBody };
  route(app, "/admin/workers", { GET: () => workers(engine) }, admin);
  route(app, "/admin/keys", { GET: () => keyUse.report() }, admin);
  const restart: Handler = (request, reply) => {
    reply.code(202);
    return restartWorker(engine, idOf(request));
  };
  route(app, "/admin/workers/:id/restart", { POST: restart }, withoutBody);
  const startDrain: Handler = (_request, reply) => {
    drain();
    reply.code(202);
    return { draining: true };
  };
  route(app, "/admin/drain", { POST: startDrain }, withoutBody);
}
