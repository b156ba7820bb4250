/** The Responses API over HTTP. */
import type { FastifyReply } from "fastify";
import type { Response } from "../../engine/api.js";
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import type { ErrorEvent } from "../../protocol/events.js";
import {
  type DeletedResponse,
  type InputItemList,
  InputItemsQuery,
  ResponseBody,
  type ResponseObject,
  ResponseQuery,
} from "../../protocol/responses.js";
import type { ServerContext } from "../context.js";
import { reported } from "../errors.js";
import type { HttpCaller } from "../http/caller.js";
import { goneSignal, unlessGone } from "../http/client-gone.js";
import { predecessorOf } from "../predecessors.js";
import { allGivenItems, inputItemsPage } from "../render/given-items.js";
import { ResponseEvents } from "../render/response-events.js";
import { earlyObject, responseObject } from "../render/response-object.js";
import { ownResponse, storedItems, submitResponse } from "../response-access.js";
import { EventStream } from "../streams/sse.js";
import { Writer } from "../streams/writer.js";
import { conflict } from "../submissions/conflict.js";
import { reasoningBudgetFields } from "../submissions/reasoning.js";
import { checkTogether, responseIdPrefix, responseSubmission } from "../submissions/responses.js";
import { alsoIgnored, dropOf, tolerateBody } from "../validation/tolerance.js";

/** POST /v1/responses. */
export function createResponse(
  context: ServerContext,
  caller: HttpCaller,
  body: unknown,
  reply: FastifyReply,
): Promise<unknown> {
  const create = tolerateBody(context, ResponseBody, body, reply);
  checkTogether(create);
  const { stream, background } = create;
  const { engine, config } = context;
  const items = storedItems(engine, caller.owner);
  const dropping = { ...caller, drop: dropOf(context, reply) };
  const previous = predecessorOf(engine, caller.owner, create.previous_response_id);
  const submission = responseSubmission(create, dropping, config.resumeGraceMs, items, previous);
  return unlessGone(reply, (gone) => submitResponse(engine, submission, gone))
    .finally(() => caller.lease?.release())
    .then((response) => {
      if (response.isUnbounded) alsoIgnored(context, reply, reasoningBudgetFields(create));
      if (stream) return streamResponse(context, response, -1, reply);
      return background ? whatBegins(response) : whatEnds(response, reply);
    });
}

async function whatEnds(response: Response, reply: FastifyReply): Promise<ResponseObject> {
  await untilEnded(response, goneSignal(reply));
  return responseObject(response);
}

/** Of a response in the background: it waits, unless an idempotency key led to one that has ended. */
function whatBegins(response: Response): ResponseObject {
  return response.ending === undefined ? earlyObject(response, "queued") : responseObject(response);
}

/** Also when its reader leaves first: the response goes on then, or not, as its request says. */
async function untilEnded(response: Response, gone: AbortSignal): Promise<void> {
  const cursor = response.read(-1);
  gone.addEventListener("abort", () => cursor.close());
  if (gone.aborted) cursor.close();
  for await (const _entry of cursor);
}

/** GET /v1/responses/{id}. */
export function getResponse(
  context: ServerContext,
  { owner }: HttpCaller,
  { id, query }: { id: string; query: unknown },
  reply: FastifyReply,
): ResponseObject | FastifyReply {
  const { stream, starting_after } = tolerateBody(context, ResponseQuery, query, reply);
  const response = ownResponse(context.engine, id, owner);
  if (stream === "true") {
    const streaming = streamResponse(context, response, Number(starting_after ?? -1), reply);
    context.onResume?.("sse");
    return streaming;
  }
  if (starting_after !== undefined)
    throw conflict("starting_after", "starting_after needs stream=true.");
  return responseObject(response);
}

/** GET /v1/responses/{id}/input_items. */
export function listInputItems(
  context: ServerContext,
  { owner }: HttpCaller,
  { id, query }: { id: string; query: unknown },
  reply: FastifyReply,
): InputItemList {
  const asked = tolerateBody(context, InputItemsQuery, query, reply);
  const response = ownResponse(context.engine, id, owner);
  if (response.conversation === undefined)
    throw failure("input_items_not_found", { id, param: "response_id" });
  return inputItemsPage(allGivenItems(response), asked);
}

/** POST /v1/responses/{id}/cancel: answers when it has ended, whoever ended it. */
export async function cancelResponse(
  { engine }: ServerContext,
  { owner }: HttpCaller,
  id: string,
  reply: FastifyReply,
): Promise<ResponseObject> {
  const response = ownResponse(engine, id, owner);
  response.cancel();
  return whatEnds(response, reply);
}

/** DELETE /v1/responses/{id}: answers once no restart brings it back. */
export async function deleteResponse(
  { engine }: ServerContext,
  { owner }: HttpCaller,
  id: string,
): Promise<DeletedResponse> {
  ownResponse(engine, id, owner);
  await engine.delete(id, owner);
  return { id, object: "response", deleted: true };
}

/** Whether it could be one of a response; whose, and whether there is one, is another question. */
export function isResponseId(id: string): boolean {
  return id.startsWith(`${responseIdPrefix}_`);
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
    onTooSlow: () => fail(failure("consumer_too_slow")),
    onFault: (error) => fail(reported(error, logger, reply.request.id)),
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
