/** The AsyncAPI 3 document of the WebSocket: every message of both sides, from the Zod schemas. */
import type { z } from "zod";
import {
  closeCodes,
  DrainingNotice,
  ErrorEvent,
  KeepAliveNotice,
  MigratedNotice,
  ResponseCancel,
  ResponseCreate,
  ResponseProcessed,
  ResponseResume,
  ResponseSteer,
  ResponseStreamEvent,
  SteerFailedEvent,
} from "./events.js";
import { componentSchemas, type JsonSchema, refTo } from "./json-schemas.js";
import * as examples from "./openapi-examples.js";
import { version } from "./version.js";

interface Message {
  name: string;
  summary: string;
  schema: z.ZodType;
  example: Record<string, unknown>;
}

/** Of messages that clients send. */
export const clientMessages: readonly Message[] = [
  {
    name: "response.create",
    summary: "Starts a response, in the lane that stream_id names.",
    schema: ResponseCreate,
    example: { type: "response.create", stream_id: "a", ...examples.responseBody },
  },
  {
    name: "response.cancel",
    summary: "Ends a response; its last event is the outcome.",
    schema: ResponseCancel,
    example: { type: "response.cancel", response_id: "resp_1" },
  },
  {
    name: "response.processed",
    summary: "The client has read a response to its end. Nothing answers.",
    schema: ResponseProcessed,
    example: { type: "response.processed", response_id: "resp_1" },
  },
  {
    name: "response.steer",
    summary: "Input for a response that runs; not served, so it comes back.",
    schema: ResponseSteer,
    example: {
      type: "response.steer",
      previous_response_id: "resp_1",
      input: [{ type: "message", role: "user", content: "In metric units, please." }],
    },
  },
  {
    name: "mlx_serving:response.resume",
    summary: "Replays the events after one, then follows.",
    schema: ResponseResume,
    example: {
      type: "mlx_serving:response.resume",
      response_id: "resp_1",
      starting_after: 41,
    },
  },
];

const item = { item_id: "msg_1", output_index: 0 };
const part = { ...item, content_index: 0 };
const outputText = { type: "output_text", text: "", annotations: [], logprobs: [] };
const outputMessage = examples.response.output[0]!;

/** What of each event of a response is its own; a test sees to it that none is missing. */
const eventBodies: Readonly<Record<string, Record<string, unknown>>> = {
  "response.created": { response: examples.response },
  "response.queued": { response: examples.response },
  "response.in_progress": { response: examples.response },
  "response.output_item.added": { output_index: 0, item: outputMessage },
  "response.content_part.added": { ...part, part: outputText },
  "response.output_text.delta": { ...part, delta: "Paris", logprobs: [] },
  "response.output_text.done": { ...part, text: "Paris", logprobs: [] },
  "response.content_part.done": { ...part, part: outputText },
  "response.output_item.done": { output_index: 0, item: outputMessage },
  "response.reasoning_text.delta": { ...part, delta: "A capital" },
  "response.reasoning_text.done": { ...part, text: "A capital is asked for." },
  "response.function_call_arguments.delta": { ...item, delta: '{"city":' },
  "response.function_call_arguments.done": {
    ...item,
    name: "get_weather",
    arguments: '{"city":"Paris"}',
  },
  "response.custom_tool_call_input.delta": { ...item, delta: "ls" },
  "response.custom_tool_call_input.done": { ...item, input: "ls -l" },
  "response.completed": { response: examples.response },
  "response.incomplete": { response: examples.response },
  "response.failed": { response: examples.response },
};

const responseEvents: readonly Message[] = ResponseStreamEvent.options.map((schema, index) => {
  const name = schema.shape.type.value;
  const example = { type: name, sequence_number: index, ...eventBodies[name] };
  return { name, summary: "An event of a response.", schema, example };
});

const notices: readonly Message[] = [
  {
    name: "error",
    summary: "About a message, or about the socket, which stays open.",
    schema: ErrorEvent,
    example: {
      type: "error",
      status: 400,
      event_id: "1",
      error: {
        type: "invalid_request_error",
        code: "invalid_type",
        param: "input",
        message: "input must be a string or a list of messages.",
      },
    },
  },
  {
    name: "response.steer.failed",
    summary: "Answers response.steer with its own input, for the next response.create.",
    schema: SteerFailedEvent,
    example: {
      type: "response.steer.failed",
      sequence_number: 41,
      steer: { previous_response_id: "resp_1", input: "In metric units, please." },
      error: {
        type: "invalid_request_error",
        code: "steering_not_supported",
        message: "This server does not steer a running response. Send the input with the next one.",
      },
    },
  },
  {
    name: "mlx_serving:response.migrated",
    summary: "Only with ?events=mlx_serving: another worker goes on with it.",
    schema: MigratedNotice,
    example: {
      type: "mlx_serving:response.migrated",
      response_id: "resp_1",
      attempt: 2,
      reason: "worker lost",
      sequence_number: 41,
    },
  },
  {
    name: "mlx_serving:server.draining",
    summary: "Only with ?events=mlx_serving: the server takes nothing new.",
    schema: DrainingNotice,
    example: { type: "mlx_serving:server.draining", grace_ms: 30_000, sequence_number: 41 },
  },
  {
    name: "mlx_serving:keep_alive",
    summary: "Only with OpenAI-Beta: responses_websockets: a response still runs or waits.",
    schema: KeepAliveNotice,
    example: { type: "mlx_serving:keep_alive", sequence_number: 41 },
  },
];

/** Of messages that the server sends. */
export const serverMessages: readonly Message[] = [...responseEvents, ...notices];

/** Names are ids of components: letters, digits, dots, hyphens and underscores. */
const idOf = ({ name }: Message) => name.replace(":", ".");

function messageOf(message: Message): JsonSchema {
  const { name, summary, schema, example } = message;
  return {
    name,
    summary,
    contentType: "application/json",
    payload: refTo(schema),
    examples: [{ payload: example }],
  };
}

const refs = (messages: readonly Message[]) =>
  messages.map((message) => ({ $ref: `#/channels/responses/messages/${idOf(message)}` }));

const byId = (messages: readonly Message[], make: (message: Message) => JsonSchema) =>
  Object.fromEntries(messages.map((message) => [idOf(message), make(message)]));

const closing = Object.entries(closeCodes)
  .map(([name, code]) => `${code} ${name}`)
  .join(", ");

const binding = {
  ws: {
    bindingVersion: "0.1.0",
    method: "GET",
    query: {
      type: "object",
      additionalProperties: false,
      properties: {
        events: { const: "mlx_serving", description: "Asks for notices." },
        ticket: { type: "string", description: "From POST /v1/ws-tickets; opens one socket." },
      },
    },
  },
};

export function asyncApiDocument() {
  const all = [...clientMessages, ...serverMessages];
  return {
    asyncapi: "3.0.0",
    info: {
      title: "mlx-serving over WebSocket",
      version,
      description: `The WebSocket mode of the Responses API: one JSON object a text frame, many responses at once on one socket. Close codes: ${closing}. Rules that no schema can say are in docs/PROTOCOL.md.`,
      license: { name: "Apache-2.0" },
    },
    defaultContentType: "application/json",
    servers: {
      local: {
        host: "127.0.0.1:8088",
        protocol: "ws",
        security: [
          { $ref: "#/components/securitySchemes/key" },
          { $ref: "#/components/securitySchemes/ticket" },
        ],
      },
    },
    channels: {
      responses: {
        address: "/v1/responses",
        messages: byId(all, (message) => ({ $ref: `#/components/messages/${idOf(message)}` })),
        bindings: binding,
      },
    },
    operations: {
      take: {
        action: "receive",
        summary: "What a client sends.",
        channel: { $ref: "#/channels/responses" },
        messages: refs(clientMessages),
      },
      tell: {
        action: "send",
        summary: "What the server sends.",
        channel: { $ref: "#/channels/responses" },
        messages: refs(serverMessages),
      },
    },
    components: {
      schemas: componentSchemas(),
      messages: byId(all, messageOf),
      securitySchemes: {
        key: { type: "http", scheme: "bearer" },
        ticket: { type: "httpApiKey", in: "query", name: "ticket" },
      },
    },
  };
}
