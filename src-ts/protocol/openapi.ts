/** The OpenAPI 3.1 document, made from the table of routes and the Zod schemas. */
import type { z } from "zod";
import { AnthropicError } from "./anthropic.js";
import { ErrorResponse } from "./errors.js";
import { componentSchemas, inlineSchema, type JsonSchema, refTo } from "./json-schemas.js";
import { OllamaError } from "./ollama.js";
import { ollamaOperations } from "./openapi-ollama.js";
import type { Answer, Operation, Parameter } from "./openapi-operation.js";
import { operations as routes } from "./openapi-routes.js";
import { version } from "./version.js";

/** All of them. */
export const operations: readonly Operation[] = [...routes, ...ollamaOperations];

interface Refusal {
  name: string;
  description: string;
  type: string;
  code: string;
  headers?: readonly string[];
}

/** How requests are refused, by status. */
const refusals: Readonly<Record<number, Refusal>> = {
  400: {
    name: "BadRequest",
    description: "Something in it is wrong; `param` names it.",
    type: "invalid_request_error",
    code: "invalid_value",
  },
  401: {
    name: "Unauthorized",
    description: "No key, or one that is unknown or has expired.",
    type: "authentication_error",
    code: "invalid_api_key",
    headers: ["WWW-Authenticate"],
  },
  403: {
    name: "Forbidden",
    description: "Host or Origin is on no list, or the key may not have this.",
    type: "permission_error",
    code: "origin_not_allowed",
  },
  404: {
    name: "NotFound",
    description: "There is none, or it belongs to another key.",
    type: "not_found_error",
    code: "response_not_found",
  },
  408: {
    name: "Timeout",
    description: "It did not arrive in time.",
    type: "invalid_request_error",
    code: "request_timeout",
  },
  409: {
    name: "Conflict",
    description: "The idempotency key came with another body.",
    type: "conflict_error",
    code: "idempotency_conflict",
    headers: ["x-should-retry"],
  },
  413: {
    name: "TooLarge",
    description: "The body is too large.",
    type: "invalid_request_error",
    code: "request_too_large",
  },
  415: {
    name: "UnsupportedMediaType",
    description: "The body is not JSON, or in an encoding that is not known.",
    type: "invalid_request_error",
    code: "unsupported_media_type",
  },
  426: {
    name: "UpgradeRequired",
    description: "This is the WebSocket API.",
    type: "invalid_request_error",
    code: "upgrade_required",
    headers: ["Upgrade"],
  },
  429: {
    name: "TooMany",
    description: "Full, or a limit of the key is reached; try again later.",
    type: "rate_limit_error",
    code: "queue_full",
    headers: ["Retry-After"],
  },
  431: {
    name: "HeadersTooLarge",
    description: "The headers are too large.",
    type: "invalid_request_error",
    code: "headers_too_large",
  },
  499: {
    name: "Cancelled",
    description: "It was cancelled before its first output.",
    type: "invalid_request_error",
    code: "cancelled",
  },
  500: {
    name: "Failed",
    description: "A fault inside the server or a worker.",
    type: "server_error",
    code: "internal_error",
  },
  503: {
    name: "Unavailable",
    description: "Not now: draining, overloaded or without a worker.",
    type: "overloaded_error",
    code: "no_worker",
    headers: ["Retry-After"],
  },
  504: {
    name: "DeadlineExceeded",
    description: "The deadline passed before the first output.",
    type: "server_error",
    code: "deadline_exceeded",
  },
};

/** What any route may answer. */
const always = [400, 403, 408, 431, 500];

const requestIdHeader = { $ref: "#/components/headers/x-request-id" };
/** On every answer to a POST of a key that has these limits. */
const rateHeaders = Object.fromEntries(
  ["requests", "tokens"].flatMap((what) => [
    [`x-ratelimit-limit-${what}`, rate(`The key's ${what} per minute.`)],
    [`x-ratelimit-remaining-${what}`, rate(`Of them, those that are left.`)],
    [
      `x-ratelimit-reset-${what}`,
      { ...rate("Until all are left again."), schema: { type: "string" }, example: "6m0s" },
    ],
  ]),
);

function rate(description: string) {
  return { description, required: false, schema: { type: "integer", minimum: 0 } };
}

const rateHeaderRefs = Object.fromEntries(
  Object.keys(rateHeaders).map((name) => [name, { $ref: `#/components/headers/${name}` }]),
);

const ignoredHeader = { $ref: "#/components/headers/x-mlx-serving-ignored" };

const headers = {
  "x-request-id": {
    description: "The client's own, if it is short and printable, else one made up.",
    required: true,
    schema: { type: "string" },
  },
  "Retry-After": {
    description: "Seconds.",
    required: true,
    schema: { type: "integer", minimum: 0 },
  },
  "WWW-Authenticate": { required: true, schema: { type: "string", const: "Bearer" } },
  "x-mlx-serving-ignored": {
    description: "Fields of the request that were not followed, by name, separated by commas.",
    required: false,
    schema: { type: "string" },
    example: "reasoning.summary, include",
  },
  "x-should-retry": { required: true, schema: { type: "string", const: "false" } },
  ...rateHeaders,
  Upgrade: { required: true, schema: { type: "string", const: "websocket" } },
};

type Shape = "openAi" | NonNullable<Operation["dialect"]>;

/** What stands before a refusal's name in the shapes that not all have. */
const shapes: Readonly<Record<Shape, string>> = {
  openAi: "",
  anthropic: "Anthropic",
  either: "Either",
  ollama: "Ollama",
};

function shapeOf(shape: Shape, { description, type, code }: Refusal) {
  const error = { message: description, type, param: null, code };
  const openAi = refTo(ErrorResponse);
  const anthropic = refTo(AnthropicError);
  switch (shape) {
    case "openAi":
      return { schema: openAi, example: { error } };
    case "anthropic":
      return { schema: anthropic };
    case "ollama":
      return { schema: refTo(OllamaError), example: { error: description } };
    case "either":
      return { schema: { anyOf: [openAi, anthropic] }, example: { error } };
  }
}

function refusalOf(shape: Shape, refusal: Refusal) {
  const { description, headers: own = [] } = refusal;
  const extra = own.map((name) => [name, { $ref: `#/components/headers/${name}` }]);
  return {
    description,
    headers: { "x-request-id": requestIdHeader, ...Object.fromEntries(extra) },
    content: { "application/json": shapeOf(shape, refusal) },
  };
}

/** Those that an operation refers to. */
function allRefusals() {
  const used = new Set(operations.map(({ dialect }): Shape => dialect ?? "openAi"));
  const pairs = [...used].flatMap((shape) =>
    Object.values(refusals).map((refusal) => [
      shapes[shape] + refusal.name,
      refusalOf(shape, refusal),
    ]),
  );
  return Object.fromEntries(pairs);
}

function contentOf({ schema, example, contentType, events, lines }: Answer) {
  if (contentType !== undefined) {
    const isJson = contentType === "application/json";
    return { [contentType]: { schema: { type: isJson ? "object" : "string" } } };
  }
  return {
    ...(schema && { "application/json": { schema: refTo(schema), example } }),
    ...(events && { "text/event-stream": { schema: eventSchema(events) } }),
    ...(lines && { "application/x-ndjson": { schema: { anyOf: lines.map(refTo) } } }),
  };
}

/** One event. OpenAPI 3.1 has a word for the whole body alone; tools read its schema as that of an event. */
function eventSchema({ data, last }: NonNullable<Answer["events"]>): JsonSchema {
  const json = {
    type: "string",
    contentMediaType: "application/json",
    contentSchema: { anyOf: data.map(refTo) },
  };
  return {
    type: "object",
    required: ["data"],
    properties: {
      event: { type: "string" },
      data: last === undefined ? json : { anyOf: [{ type: "string", const: last }, json] },
    },
  };
}

function linksOf({ to, parameter }: NonNullable<Answer["links"]>) {
  const parameters = { [parameter]: "$response.body#/id" };
  return Object.fromEntries(to.map((operationId) => [operationId, { operationId, parameters }]));
}

function answersOf(operation: Operation) {
  const own = Object.entries(operation.answers).map(([status, answer]) => [
    status,
    {
      description: answer.description,
      headers: {
        "x-request-id": requestIdHeader,
        ...(operation.isTolerant && { "x-mlx-serving-ignored": ignoredHeader }),
        ...(operation.tag === "inference" && rateHeaderRefs),
      },
      content: contentOf(answer),
      ...(answer.links && { links: linksOf(answer.links) }),
    },
  ]);
  const refused = statusesOf(operation).map((status) => [
    String(status),
    {
      $ref: `#/components/responses/${shapes[operation.dialect ?? "openAi"]}${refusals[status]!.name}`,
    },
  ]);
  return Object.fromEntries([...own, ...refused]);
}

function statusesOf({ errors = [], isOpen, body }: Operation): number[] {
  const withBody = body === undefined ? [] : [413, 415, 429, 503];
  // An open route with a key that is wrong is refused all the same.
  const statuses = new Set([...always, 401, ...withBody, ...errors]);
  return [...statuses].filter((status) => !isOpen || status !== 408).toSorted((a, b) => a - b);
}

function parameterOf({ schema, ...parameter }: Parameter) {
  return { ...parameter, required: parameter.in === "path", schema: inlineSchema(schema) };
}

function bodyOf({ schema, example, isOptional = false }: NonNullable<Operation["body"]>) {
  return {
    required: !isOptional,
    content: { "application/json": { schema: refTo(schema), example } },
  };
}

function operationOf(operation: Operation): JsonSchema {
  const { id, tag, summary, parameters, body, isOpen } = operation;
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(isOpen && { security: [{}] }),
    ...(parameters && { parameters: parameters.map(parameterOf) }),
    ...(body && { requestBody: bodyOf(body) }),
    responses: answersOf(operation),
  };
}

function paths(): Record<string, JsonSchema> {
  const all: Record<string, JsonSchema> = {};
  for (const operation of operations) {
    const { path, method } = operation;
    all[path] = { ...all[path], [method]: operationOf(operation) };
  }
  return all;
}

export function openApiDocument() {
  return {
    openapi: "3.1.0",
    info: {
      title: "mlx-serving",
      version,
      description:
        "Language models over HTTP, in the shapes of OpenAI's API, of Anthropic's and of Ollama's. Rules that no schema can say are in docs/PROTOCOL.md.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    // A server without keys takes requests without one.
    security: [{ key: [] }, { apiKey: [] }, {}],
    tags: [...new Set(operations.map(({ tag }) => tag))].map((name) => ({ name })),
    paths: paths(),
    components: {
      schemas: componentSchemas(),
      headers,
      responses: allRefusals(),
      securitySchemes: {
        key: { type: "http", scheme: "bearer" },
        apiKey: { type: "apiKey", in: "header", name: "x-api-key" },
      },
    },
  };
}

/** For tests: every example with the schema that it is one of. */
export function examplesOf(): { name: string; schema: z.ZodType; example: unknown }[] {
  return operations.flatMap(({ id, body, answers }) => [
    ...(body ? [{ name: `${id} body`, ...body }] : []),
    ...Object.entries(answers).flatMap(([status, { schema, example }]) =>
      schema ? [{ name: `${id} ${status}`, schema, example }] : [],
    ),
  ]);
}
