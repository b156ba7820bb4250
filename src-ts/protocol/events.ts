/**
 * Events of a response, in SSE and over WebSocket, and the messages of a WebSocket client.
 * `sequence_number` counts a response's events from 0 without gaps.
 */
import { z } from "zod";
import { ErrorBody } from "./errors.js";
import * as fields from "./fields.js";
import * as limits from "./limits.js";
import {
  InputMessage,
  inputItems,
  OutputLogprob,
  OutputMessage,
  OutputText,
  ResponseBody,
  ResponseObject,
  responseFields,
} from "./responses.js";

const streamId = z
  .string()
  .regex(
    new RegExp(`^[A-Za-z0-9_.-]{1,${limits.streamIdCharsMax}}$`),
    `must have 1 to ${limits.streamIdCharsMax} letters, digits, underscores, hyphens and periods`,
  );
const eventId = z.string().min(1).max(limits.eventIdCharsMax);

// Client messages

/**
 * Starts a response. `stream_id` names its lane; without one it is in the default lane. A socket
 * streams whatever `stream` says.
 */
export const ResponseCreate = z.object({
  ...responseFields,
  /** Only what is prefilled may have instructions alone; `responseSubmission` sees to it. */
  input: z
    .union([fields.text, inputItems], { error: "must be a string or a list of messages" })
    .optional(),
  type: z.literal("response.create"),
  /** False: the prompt is computed and kept for the next response that begins with it; no token is made. */
  generate: fields.flag,
  stream_id: streamId.optional(),
  /** Repeated by an `error` event about this message; means nothing else. */
  event_id: eventId.optional(),
  stream: fields.flag,
  stream_options: ResponseBody.shape.stream_options,
  background: fields.only([false], "A background response over WebSocket"),
  "mlx_serving:deadline_ms": z.int().min(1).max(limits.deadlineMsMax).nullish(),
  "mlx_serving:priority": fields.Priority.nullish(),
  "mlx_serving:idempotency_key": z.string().min(1).max(limits.idempotencyKeyCharsMax).nullish(),
});
export type ResponseCreate = z.infer<typeof ResponseCreate>;

export const ResponseCancel = z.object({
  type: z.literal("response.cancel"),
  response_id: fields.identifier.min(1),
  event_id: eventId.optional(),
});
export type ResponseCancel = z.infer<typeof ResponseCancel>;

/** Replays the log after an event, then follows. Takes its turn in its lane, as a create does. */
export const ResponseResume = z.object({
  type: z.literal("mlx_serving:response.resume"),
  response_id: fields.identifier.min(1),
  /** -1: from the start. */
  starting_after: z.int().min(-1),
  stream_id: streamId.optional(),
  event_id: eventId.optional(),
});
export type ResponseResume = z.infer<typeof ResponseResume>;

/** The client has read a response to its end. Nothing here waits for it, and nothing answers. */
export const ResponseProcessed = z.object({
  type: z.literal("response.processed"),
  response_id: fields.identifier.min(1),
  event_id: eventId.optional(),
});
export type ResponseProcessed = z.infer<typeof ResponseProcessed>;

/** What a user says while a response runs. */
export const SteerInput = z.union(
  [
    fields.text.min(1),
    z
      .array(InputMessage.extend({ role: z.literal("user") }))
      .min(1)
      .max(limits.messagesMax),
  ],
  { error: "must be a string or a list of messages of the user" },
);

/**
 * Input for a response that runs. Not served: `response.steer.failed` gives it back. What `input` is
 * may be wrong, and comes back all the same.
 */
export const ResponseSteer = z.object({
  type: z.literal("response.steer"),
  previous_response_id: fields.identifier.min(1),
  input: z.unknown().optional(),
  event_id: eventId.optional(),
});
export type ResponseSteer = z.infer<typeof ResponseSteer>;

/** By its type. */
export const messageSchemas = {
  "response.create": ResponseCreate,
  "response.cancel": ResponseCancel,
  "response.processed": ResponseProcessed,
  "response.steer": ResponseSteer,
  "mlx_serving:response.resume": ResponseResume,
} as const;
export type ClientMessageType = keyof typeof messageSchemas;

export const clientMessageTypes = Object.keys(messageSchemas) as ClientMessageType[];

export const ClientMessage = z.discriminatedUnion(
  "type",
  [ResponseCreate, ResponseCancel, ResponseProcessed, ResponseSteer, ResponseResume],
  { error: `must be one of ${clientMessageTypes.join(", ")}` },
);
export type ClientMessage = z.infer<typeof ClientMessage>;

// Server events

/** On every event; `stream_id` only over WebSocket, and only if the client named a lane. */
const common = { sequence_number: z.int().min(0), stream_id: z.string().optional() };
const item = { item_id: z.string(), output_index: z.int() };
const part = { ...item, content_index: z.int() };

function wholeResponse<const T extends string>(type: T) {
  return z.strictObject({ type: z.literal(type), response: ResponseObject, ...common });
}

/** Only on sockets opened with `?events=mlx_serving`: fields of the request that are not followed. */
const created = z.strictObject({
  ...wholeResponse("response.created").shape,
  "mlx_serving:ignored": z.array(z.string()).optional(),
});

export const ResponseStreamEvent = z.discriminatedUnion("type", [
  created,
  wholeResponse("response.queued"),
  wholeResponse("response.in_progress"),
  z.strictObject({
    type: z.literal("response.output_item.added"),
    output_index: z.int(),
    item: OutputMessage,
    ...common,
  }),
  z.strictObject({
    type: z.literal("response.content_part.added"),
    part: OutputText,
    ...part,
    ...common,
  }),
  z.strictObject({
    type: z.literal("response.output_text.delta"),
    delta: z.string(),
    logprobs: z.array(OutputLogprob),
    ...part,
    ...common,
  }),
  z.strictObject({
    type: z.literal("response.output_text.done"),
    text: z.string(),
    logprobs: z.array(OutputLogprob),
    ...part,
    ...common,
  }),
  z.strictObject({
    type: z.literal("response.content_part.done"),
    part: OutputText,
    ...part,
    ...common,
  }),
  z.strictObject({
    type: z.literal("response.output_item.done"),
    output_index: z.int(),
    item: OutputMessage,
    ...common,
  }),
  wholeResponse("response.completed"),
  wholeResponse("response.incomplete"),
  wholeResponse("response.failed"),
]);
export type ResponseStreamEvent = z.infer<typeof ResponseStreamEvent>;

/** The three types that end a response. */
export const terminalEventTypes = [
  "response.completed",
  "response.incomplete",
  "response.failed",
] as const;

/** About a message of the client or about the socket; no event of any response. */
export const ErrorEvent = z.strictObject({
  type: z.literal("error"),
  status: z.int(),
  error: ErrorBody,
  event_id: z.string().optional(),
  stream_id: z.string().optional(),
});
export type ErrorEvent = z.infer<typeof ErrorEvent>;

/** Why a `response.steer` came to nothing. */
export const SteerErrorCode = z.enum([
  "response_not_found",
  "invalid_input",
  "steering_not_supported",
  "response_already_completed",
]);
export type SteerErrorCode = z.infer<typeof SteerErrorCode>;

/**
 * Answers `response.steer` with its own input, for the next `response.create`. No event of any
 * response: `sequence_number` is that of the event sent before it on this socket, 0 if there was none.
 */
export const SteerFailedEvent = z.strictObject({
  type: z.literal("response.steer.failed"),
  sequence_number: z.int().min(0),
  steer: z.strictObject({ previous_response_id: z.string(), input: z.unknown().optional() }),
  error: z.strictObject({
    type: z.literal("invalid_request_error"),
    code: SteerErrorCode,
    message: z.string(),
  }),
  /** The lane of the response that was meant, if it runs here and has one. */
  stream_id: z.string().optional(),
  event_id: z.string().optional(),
});
export type SteerFailedEvent = z.infer<typeof SteerFailedEvent>;

/** Notices: only on sockets opened with `?events=mlx_serving`. They repeat the number before them. */
export const MigratedNotice = z.strictObject({
  type: z.literal("mlx_serving:response.migrated"),
  response_id: z.string(),
  attempt: z.int(),
  reason: z.string(),
  sequence_number: z.int(),
  stream_id: z.string().optional(),
});
export type MigratedNotice = z.infer<typeof MigratedNotice>;

/** `sequence_number`: of the event sent before it on this socket, -1 if there was none. */
export const DrainingNotice = z.strictObject({
  type: z.literal("mlx_serving:server.draining"),
  grace_ms: z.number(),
  sequence_number: z.int(),
});
export type DrainingNotice = z.infer<typeof DrainingNotice>;

/**
 * Only on sockets opened with a header `OpenAI-Beta: responses_websockets…` that have something to wait
 * for: their clients give up one without messages. `sequence_number` as above.
 */
export const KeepAliveNotice = z.strictObject({
  type: z.literal("mlx_serving:keep_alive"),
  sequence_number: z.int(),
});
export type KeepAliveNotice = z.infer<typeof KeepAliveNotice>;

export const ServerEvent = z.union([
  ResponseStreamEvent,
  ErrorEvent,
  SteerFailedEvent,
  MigratedNotice,
  DrainingNotice,
  KeepAliveNotice,
]);
export type ServerEvent = z.infer<typeof ServerEvent>;

/** Close codes that this server sends. */
export const closeCodes = {
  badUtf8: 1007,
  policy: 1008,
  tooBig: 1009,
  fault: 1011,
  restart: 1012,
  overload: 1013,
} as const;
