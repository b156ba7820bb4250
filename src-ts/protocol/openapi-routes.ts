/** Every route over HTTP but Ollama's: what it takes, what it answers, and how it may refuse. A table, and no logic. */
import { z } from "zod";
import {
  AnthropicBody,
  AnthropicCountBody,
  AnthropicMessage,
  AnthropicStreamEvent,
  AnthropicTokenCount,
  AnyModel,
  AnyModelList,
} from "./anthropic.js";
import { ChatBody, ChatChunk, ChatCompletion } from "./chat.js";
import { Completion, CompletionBody } from "./completions.js";
import { Embeddings, EmbeddingsBody, RerankBody, Reranking } from "./embeddings.js";
import { ErrorResponse } from "./errors.js";
import { ErrorEvent, ResponseStreamEvent } from "./events.js";
import { Priority } from "./fields.js";
import * as limits from "./limits.js";
import * as examples from "./openapi-examples.js";
import { json, type Operation, type Parameter } from "./openapi-operation.js";
import { operatorRoutes } from "./openapi-operator-routes.js";
import {
  DeletedResponse,
  InputItemList,
  InputItemsQuery,
  ResponseBody,
  ResponseObject,
  ResponseQuery,
} from "./responses.js";
import { TicketBody, WebSocketTicket } from "./tickets.js";
import {
  Detokenization,
  DetokenizeBody,
  InputTokens,
  InputTokensBody,
  Tokenization,
  TokenizeBody,
} from "./tokens.js";

export const envelope: readonly Parameter[] = [
  {
    in: "header",
    name: "x-mlx-serving-deadline-ms",
    description: "Milliseconds from arrival within which it has to end.",
    schema: z.int().min(1).max(limits.deadlineMsMax),
  },
  {
    in: "header",
    name: "x-mlx-serving-priority",
    description: "Who goes first when there is more to do than places.",
    schema: Priority,
  },
  {
    in: "header",
    name: "idempotency-key",
    description: "The same key and body attach to the same response; another body is 409.",
    schema: z
      .string()
      .min(1)
      .max(limits.idempotencyKeyCharsMax)
      .regex(/^[\x21-\x7e]+$/),
  },
];

const anthropicVersion: Parameter = {
  in: "header",
  name: "anthropic-version",
  description: "Asks for Anthropic's shape, whatever its value.",
  schema: z.string(),
};

const responseId: Parameter = {
  in: "path",
  name: "response_id",
  description: "Of the response.",
  schema: z.string().min(1),
  example: "resp_1",
};

const queries = { ...ResponseQuery.shape, ...InputItemsQuery.shape };
const query = (name: keyof typeof queries, description: string): Parameter => ({
  in: "query",
  name,
  description,
  schema: queries[name].unwrap(),
});

/** What can happen to a request before, or instead of, its answer. */
export const generation = [404, 409, 429, 499, 503, 504] as const;

/** The same without an answer that is generated. */
const preparation = [404, 429, 499, 503, 504] as const;

export const operations: readonly Operation[] = [
  {
    id: "createChatCompletion",
    isTolerant: true,
    method: "post",
    path: "/v1/chat/completions",
    tag: "inference",
    summary: "Chat, streamed or not.",
    parameters: envelope,
    body: { schema: ChatBody, example: examples.chatBody },
    answers: {
      200: {
        ...json("The completion, or its chunks.", ChatCompletion, examples.chatCompletion),
        events: { data: [ChatChunk, ErrorResponse], last: "[DONE]" },
      },
    },
    errors: [...generation, 500],
  },
  {
    id: "createCompletion",
    isTolerant: true,
    method: "post",
    path: "/v1/completions",
    tag: "inference",
    summary: "Plain completion, streamed or not.",
    parameters: envelope,
    body: { schema: CompletionBody, example: examples.completionBody },
    answers: {
      200: {
        ...json("The completion, or its chunks.", Completion, examples.completion),
        events: { data: [Completion, ErrorResponse], last: "[DONE]" },
      },
    },
    errors: generation,
  },
  {
    id: "createMessage",
    isTolerant: true,
    dialect: "anthropic",
    method: "post",
    path: "/v1/messages",
    tag: "inference",
    summary: "A message of Anthropic's API, streamed or not.",
    parameters: envelope,
    body: { schema: AnthropicBody, example: examples.anthropicBody },
    answers: {
      200: {
        ...json("The message, or its events.", AnthropicMessage, examples.anthropicMessage),
        events: { data: [AnthropicStreamEvent] },
      },
    },
    errors: generation,
  },
  {
    id: "countMessageTokens",
    isTolerant: true,
    dialect: "anthropic",
    method: "post",
    path: "/v1/messages/count_tokens",
    tag: "inference",
    summary: "How many tokens the prompt of a message has.",
    parameters: envelope,
    body: { schema: AnthropicCountBody, example: examples.anthropicCountBody },
    answers: { 200: json("Their number.", AnthropicTokenCount, examples.anthropicTokenCount) },
    errors: preparation,
  },
  {
    id: "createEmbeddings",
    isTolerant: true,
    method: "post",
    path: "/v1/embeddings",
    tag: "inference",
    summary: "Vectors of texts.",
    parameters: envelope.slice(0, 2),
    body: { schema: EmbeddingsBody, example: examples.embeddingsBody },
    answers: { 200: json("One a text.", Embeddings, examples.embeddings) },
    errors: [...preparation, 500],
  },
  {
    id: "rerank",
    isTolerant: true,
    method: "post",
    path: "/v1/rerank",
    tag: "inference",
    summary: "Documents by the cosine between their vectors and the query's.",
    parameters: envelope.slice(0, 2),
    body: { schema: RerankBody, example: examples.rerankBody },
    answers: { 200: json("The most relevant first.", Reranking, examples.reranking) },
    errors: [...preparation, 500],
  },
  ...["/v1", ""].flatMap((prefix): Operation[] => [
    {
      id: prefix === "" ? "tokenizeAtRoot" : "tokenize",
      isTolerant: true,
      method: "post",
      path: `${prefix}/tokenize`,
      tag: "inference",
      summary: "The tokens of a text or a chat, however many.",
      parameters: envelope,
      body: { schema: TokenizeBody, example: examples.tokenizeBody },
      answers: { 200: json("Its tokens.", Tokenization, examples.tokenization) },
      errors: preparation,
    },
    {
      id: prefix === "" ? "detokenizeAtRoot" : "detokenize",
      isTolerant: true,
      method: "post",
      path: `${prefix}/detokenize`,
      tag: "inference",
      summary: "What tokens say, control tokens by name.",
      parameters: envelope,
      body: { schema: DetokenizeBody, example: examples.detokenizeBody },
      answers: { 200: json("Their text.", Detokenization, examples.detokenization) },
      errors: preparation,
    },
  ]),
  {
    id: "countResponseTokens",
    isTolerant: true,
    method: "post",
    path: "/v1/responses/input_tokens",
    tag: "responses",
    summary: "How many tokens a response would read.",
    parameters: envelope,
    body: { schema: InputTokensBody, example: examples.inputTokensBody },
    answers: { 200: json("Their number.", InputTokens, examples.inputTokens) },
    errors: preparation,
  },
  {
    id: "createResponse",
    isTolerant: true,
    method: "post",
    path: "/v1/responses",
    tag: "responses",
    summary:
      "A response, streamed, waited for or in the background; 200 however it ends, its `status` says how.",
    parameters: envelope,
    body: { schema: ResponseBody, example: examples.responseBody },
    answers: {
      200: {
        ...json("The response, or its events.", ResponseObject, examples.response),
        events: { data: [ResponseStreamEvent, ErrorEvent] },
        links: {
          to: ["getResponse", "listInputItems", "cancelResponse", "deleteResponse"],
          parameter: responseId.name,
        },
      },
    },
    errors: generation,
  },
  {
    id: "openWebSocket",
    method: "get",
    path: "/v1/responses",
    tag: "responses",
    summary: "The WebSocket API; see the AsyncAPI document. Without an upgrade it is 426.",
    answers: {},
    errors: [426],
  },
  {
    id: "getResponse",
    isTolerant: true,
    method: "get",
    path: "/v1/responses/{response_id}",
    tag: "responses",
    summary: "A stored or running response, or its events after one of them.",
    parameters: [
      responseId,
      query("stream", "Events in place of the response."),
      query("starting_after", "Number of the event after which to begin; −1: all."),
      query("include_obfuscation", "A hint: there is none."),
    ],
    answers: {
      200: {
        ...json("The response, or its events.", ResponseObject, examples.response),
        events: { data: [ResponseStreamEvent, ErrorEvent] },
      },
    },
    errors: [404],
  },
  {
    id: "listInputItems",
    isTolerant: true,
    method: "get",
    path: "/v1/responses/{response_id}/input_items",
    tag: "responses",
    summary: "What a response read: what was said before it, and its own input.",
    parameters: [
      responseId,
      query("limit", "1 to 100; 20 if it is absent."),
      query("order", "asc or desc, which is the default: the newest first."),
      query("after", "Id of the item after which to begin."),
      query("before", "Id of the item before which to end."),
      query("include", "A hint: all that there is comes."),
    ],
    answers: { 200: json("A page of them.", InputItemList, examples.inputItems) },
    errors: [404],
  },
  {
    id: "deleteResponse",
    method: "delete",
    path: "/v1/responses/{response_id}",
    tag: "responses",
    summary: "Cancels it if it runs, and forgets it; answers once no restart brings it back.",
    parameters: [responseId],
    answers: { 200: json("It is forgotten.", DeletedResponse, examples.deleted) },
    errors: [404, 503],
  },
  {
    id: "cancelResponse",
    method: "post",
    path: "/v1/responses/{response_id}/cancel",
    tag: "responses",
    summary: "Cancels; answers once it has ended, whoever ended it.",
    parameters: [responseId],
    answers: { 200: json("The response at its end.", ResponseObject, examples.response) },
    errors: [404, 413, 415, 429, 503],
  },
  {
    id: "createWebSocketTicket",
    method: "post",
    path: "/v1/ws-tickets",
    tag: "responses",
    summary: "A ticket that opens one WebSocket, for clients that can't send headers.",
    body: { schema: TicketBody, example: {}, isOptional: true },
    answers: { 200: json("For `?ticket=` of the upgrade.", WebSocketTicket, examples.ticket) },
    errors: [429],
  },
  {
    id: "listModels",
    method: "get",
    path: "/v1/models",
    tag: "models",
    summary: "The models that are served.",
    dialect: "either",
    parameters: [anthropicVersion],
    answers: { 200: json("All of them.", AnyModelList, examples.modelList) },
  },
  {
    id: "getModel",
    method: "get",
    path: "/v1/models/{model_id}",
    tag: "models",
    summary: "One of them; ids may contain `/`, escaped or not.",
    dialect: "either",
    parameters: [
      anthropicVersion,
      {
        in: "path",
        name: "model_id",
        description: "Of the model.",
        schema: z.string().min(1),
        example: "smollm2-135m-instruct",
      },
    ],
    answers: { 200: json("The model.", AnyModel, examples.modelObject) },
    errors: [404],
  },
  ...operatorRoutes,
];
