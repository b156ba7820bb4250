/** The Responses API over HTTP, and what its WebSocket form shares: body to submission. */
import type { FastifyReply } from "fastify";
import type { Engine, Response, Submission } from "../../engine/api.js";
import { ServingError } from "../../errors.js";
import type { ErrorEvent } from "../../protocol/events.js";
import {
  type CreateResponseBody,
  type DeletedResponse,
  ResponseBody,
  type ResponseObject,
  ResponseQuery,
} from "../../protocol/responses.js";
import { reported, responseNotFound, tooSlow } from "../errors.js";
import type { ServerContext } from "../options.js";
import { ResponseEvents } from "../render/response-events.js";
import { isResponseEcho, type ResponseEcho, responseObject } from "../render/response-object.js";
import { EventStream } from "../sse.js";
import { type Caller, callerFields, chatInput, idempotencyOf, samplingOf } from "../submissions.js";
import { validate } from "../validate.js";
import { Writer } from "../writer.js";
import { conflict } from "./chat.js";

/** A body as either transport has it. */
type AnyBody = Omit<CreateResponseBody, "input"> & {
  input?: CreateResponseBody["input"] | undefined;
  /** False: the prompt is computed and kept, no token is made. */
  generate?: boolean | null | undefined;
};

/** Throws 400 where there is nothing to answer: instructions alone can only be prefilled. */
export function requireInput({ input, generate, instructions }: AnyBody): void {
  if (input !== undefined && input.length > 0) return;
  if (input === "" || (generate === false && instructions != null)) return;
  throw new ServingError("input: input is a string or a list of messages, and not empty.", {
    code: input === undefined ? "invalid_type" : "invalid_value",
    status: 400,
    param: "input",
  });
}

/** `store` is true unless it is false. */
export function responseSubmission(
  body: AnyBody,
  caller: Caller,
  resumeGraceMs: number,
): Submission {
  const store = body.store ?? true;
  const wantsLogprobs =
    body.include?.includes("message.output_text.logprobs") || (body.top_logprobs ?? 0) > 0;
  return {
    model: body.model ?? undefined,
    input: chatInput(messagesOf(body)),
    sampling: samplingOf(body, wantsLogprobs ? (body.top_logprobs ?? 0) : -1),
    maxTokens: body.generate === false ? 0 : (body.max_output_tokens ?? undefined),
    ...callerFields(caller),
    store,
    abandonment: store ? { kind: "keep" } : { kind: "grace", ms: resumeGraceMs },
    idempotency: idempotencyOf("responses", caller.idempotencyKey, body),
    echo: echoOf(body),
    idPrefix: "resp",
  };
}

function messagesOf({ instructions, input = [] }: AnyBody) {
  const messages = typeof input === "string" ? [{ role: "user", content: input }] : input;
  if (instructions == null) return messages;
  return [{ role: "system", content: instructions }, ...messages];
}

function echoOf(body: AnyBody): ResponseEcho {
  return {
    kind: "response",
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: body.max_tool_calls ?? null,
    metadata: body.metadata ?? {},
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    prompt_cache_key: body.prompt_cache_key ?? null,
    safety_identifier: body.safety_identifier ?? null,
    tool_choice: body.tool_choice ?? "auto",
    top_logprobs: body.top_logprobs ?? 0,
    user: body.user ?? null,
  };
}

/** A response of this API that belongs to `owner`. Throws 404 for everything else. */
export function ownResponse(engine: Engine, id: string, owner: string): Response {
  const response = engine.get(id, owner);
  if (response === undefined || !isResponseEcho(response.echo)) throw responseNotFound(id);
  return response;
}

/** POST /v1/responses. */
export async function createResponse(
  context: ServerContext,
  caller: Caller,
  body: unknown,
  reply: FastifyReply,
): Promise<unknown> {
  const create = validate(ResponseBody, body);
  if (create.stream_options != null && !create.stream)
    throw conflict("stream_options", "stream_options needs stream: true.");
  const submission = responseSubmission(create, caller, context.config.resumeGraceMs);
  const response = await submitUnlessGone(context.engine, submission, reply);
  if (create.stream) return streamResponse(context, response, -1, reply);
  await untilEndedOrGone(response, reply);
  return responseObject(response);
}

/** Gives up while it is being prepared; once accepted, who abandons it is the engine's to judge. */
async function submitUnlessGone(
  engine: Engine,
  submission: Submission,
  reply: FastifyReply,
): Promise<Response> {
  const preparing = new AbortController();
  const giveUp = () => preparing.abort();
  reply.raw.on("close", giveUp);
  try {
    return await engine.submit(submission, preparing.signal, "preparing");
  } finally {
    reply.raw.off("close", giveUp);
  }
}

async function untilEndedOrGone(response: Response, reply: FastifyReply): Promise<void> {
  const cursor = response.read(-1);
  const leave = () => cursor.close();
  reply.raw.on("close", leave);
  if (reply.raw.destroyed) leave();
  for await (const _entry of cursor);
  reply.raw.off("close", leave);
}

/** GET /v1/responses/{id}. */
export function getResponse(
  context: ServerContext,
  { owner }: Caller,
  { id, query }: { id: string; query: unknown },
  reply: FastifyReply,
): ResponseObject | FastifyReply {
  const { stream, starting_after } = validate(ResponseQuery, query);
  const response = ownResponse(context.engine, id, owner);
  if (stream === "true")
    return streamResponse(context, response, Number(starting_after ?? -1), reply);
  if (starting_after !== undefined)
    throw conflict("starting_after", "starting_after needs stream=true.");
  return responseObject(response);
}

/** POST /v1/responses/{id}/cancel: answers when it has ended, whoever ended it. */
export async function cancelResponse(
  { engine }: ServerContext,
  { owner }: Caller,
  id: string,
  reply: FastifyReply,
): Promise<ResponseObject> {
  const response = ownResponse(engine, id, owner);
  response.cancel();
  await untilEndedOrGone(response, reply);
  return responseObject(response);
}

/** DELETE /v1/responses/{id}. */
export function deleteResponse(
  { engine }: ServerContext,
  { owner }: Caller,
  id: string,
): DeletedResponse {
  ownResponse(engine, id, owner);
  engine.delete(id, owner);
  return { id, object: "response", deleted: true };
}

function errorEvent(error: ServingError): string {
  const event: ErrorEvent = { type: "error", status: error.status, error: error.toBody() };
  return `event: error\ndata: ${JSON.stringify(event)}\n\n`;
}

/** Throws `invalid_cursor` before anything is sent. */
function streamResponse(
  { config, logger }: ServerContext,
  response: Response,
  after: number,
  reply: FastifyReply,
): FastifyReply {
  const cursor = response.read(after);
  const stream = new EventStream(reply, config.limits);
  const events = new ResponseEvents(response, "sse");
  const fail = (error: ServingError) => {
    writer.close();
    stream.fail(error, errorEvent);
  };
  const writer = new Writer(stream, config.limits, {
    onTooSlow: () => fail(tooSlow()),
    onFault: (error) => fail(reported(error, logger)),
  });
  writer.add({
    cursor,
    render: (entry, number, out) => events.render(entry, number, out),
    onEnd: () => stream.end(),
    onInterrupted: fail,
  });
  // Resumed after its last event: nothing will wake the writer.
  if (cursor.lag === 0 && response.ending !== undefined) {
    writer.close();
    stream.end();
  }
  stream.whenGone(() => writer.close());
  return reply;
}
