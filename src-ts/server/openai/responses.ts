/** The Responses API over HTTP, and what its WebSocket form shares: body to submission. */
import type { FastifyReply } from "fastify";
import type { Engine, Response, Submission } from "../../engine/api.js";
import { ServingError } from "../../errors.js";
import type { ErrorEvent } from "../../protocol/events.js";
import {
  type DeletedResponse,
  includeLogprobs,
  type ParsedResponseBody,
  ResponseBody,
  type ResponseObject,
  ResponseQuery,
} from "../../protocol/responses.js";
import { reported, responseNotFound, tooSlow, withParam } from "../errors.js";
import type { ServerContext } from "../options.js";
import { ResponseEvents } from "../render/response-events.js";
import {
  earlyObject,
  isResponseEcho,
  type ResponseEcho,
  responseObject,
} from "../render/response-object.js";
import { EventStream } from "../streams/sse.js";
import { Writer } from "../streams/writer.js";
import {
  type Caller,
  callerFields,
  chatInput,
  conflict,
  idempotencyOf,
  samplingOf,
  tokenLimitOf,
} from "../submissions/submissions.js";
import { tolerateBody } from "../validation/tolerance.js";

/** A body as either transport has it. */
type AnyBody = Omit<ParsedResponseBody, "input"> & {
  input?: ParsedResponseBody["input"] | undefined;
  /** False: the prompt is computed and kept, no token is made. */
  generate?: boolean | null | undefined;
  /** Over HTTP alone. */
  background?: boolean | null | undefined;
};

/** Throws 400 where there is nothing to answer: instructions alone can only be prefilled. */
export function requireInput({ input, generate, instructions }: AnyBody): void {
  if (input !== undefined && input.length > 0) return;
  if (input === "" || (generate === false && instructions != null)) return;
  throw new ServingError("input must be a string or a list of messages, and not empty.", {
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
  const wantsLogprobs = body.include?.includes(includeLogprobs) || (body.top_logprobs ?? 0) > 0;
  return {
    model: body.model ?? undefined,
    input: chatInput(messagesOf(body), body.chat_template_kwargs),
    sampling: samplingOf(body, wantsLogprobs ? (body.top_logprobs ?? 0) : -1),
    maxTokens: body.generate === false ? 0 : tokenLimitOf(body),
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
    background: body.background ?? false,
    instructions: body.instructions ?? null,
    max_output_tokens: tokenLimitOf(body) ?? null,
    max_tool_calls: body.max_tool_calls ?? null,
    metadata: body.metadata ?? {},
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    prompt_cache_key: body.prompt_cache_key?.value ?? null,
    safety_identifier: body.safety_identifier?.value ?? null,
    tool_choice: body.tool_choice ?? "auto",
    top_logprobs: body.top_logprobs ?? 0,
    user: body.user?.value ?? null,
  };
}

/** A response of this API that belongs to `owner`. Throws 404 for everything else. */
export function ownResponse(engine: Engine, id: string, owner: string): Response {
  const response = engine.get(id, owner);
  if (response === undefined || !isResponseEcho(response.echo)) throw responseNotFound(id);
  return response;
}

/** POST /v1/responses. */
export function createResponse(
  context: ServerContext,
  caller: Caller,
  body: unknown,
  reply: FastifyReply,
): Promise<unknown> {
  const create = tolerateBody(context, ResponseBody, body, reply);
  checkTogether(create);
  const { stream, background } = create;
  const submission = responseSubmission(create, caller, context.config.resumeGraceMs);
  return submitUnlessGone(context.engine, submission, reply)
    .finally(() => caller.lease?.release())
    .then((response) => {
      if (stream) return streamResponse(context, response, -1, reply);
      return background ? whatBegins(response) : whatEnds(response, reply);
    });
}

async function whatEnds(response: Response, reply: FastifyReply): Promise<ResponseObject> {
  await untilEndedOrGone(response, reply);
  return responseObject(response);
}

function checkTogether({ stream, stream_options, background, store }: ResponseBody): void {
  if (stream_options != null && !stream)
    throw conflict("stream_options", "stream_options needs stream: true.");
  if (background && store === false)
    throw conflict("background", "background needs store to be true: it is read by its id.");
}

/** Of a response in the background: it waits, unless an idempotency key led to one that has ended. */
function whatBegins(response: Response): ResponseObject {
  return response.ending === undefined ? earlyObject(response, "queued") : responseObject(response);
}

/** A prompt's messages are this API's `input`. */
export function submitResponse(
  engine: Engine,
  submission: Submission,
  signal: AbortSignal,
): Promise<Response> {
  return engine.submit(submission, signal, "preparing").catch((error: unknown) => {
    throw withParam(error, "messages", "input");
  });
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
    return await submitResponse(engine, submission, preparing.signal);
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
  const { stream, starting_after } = tolerateBody(context, ResponseQuery, query, reply);
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
  return whatEnds(response, reply);
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
