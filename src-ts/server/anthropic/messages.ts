/** POST /v1/messages. */
import type { FastifyReply } from "fastify";
import type { Response } from "../../engine/api.js";
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import { AnthropicBody, type AnthropicMessage } from "../../protocol/anthropic.js";
import type { ServerContext } from "../context.js";
import { reported, withParam } from "../errors.js";
import type { HttpCaller } from "../http/caller.js";
import { goneSignal } from "../http/client-gone.js";
import { anthropicError } from "../render/anthropic-error.js";
import { AnthropicEvents, eventText } from "../render/anthropic-events.js";
import { anthropicMessage, stopReasonOf } from "../render/anthropic-message.js";
import { errorOf } from "../render/endings.js";
import { EventStream } from "../streams/sse.js";
import { Writer } from "../streams/writer.js";
import { anthropicSubmission } from "../submissions/anthropic.js";
import { reasoningBudgetFields } from "../submissions/reasoning.js";
import { alsoIgnored, dropOf, tolerateBody } from "../validation/tolerance.js";
import { anthropicDialect } from "./dialect.js";

export async function createMessage(
  context: ServerContext,
  caller: HttpCaller,
  body: unknown,
  reply: FastifyReply,
): Promise<AnthropicMessage | FastifyReply> {
  const message = tolerateBody(context, AnthropicBody, body, reply);
  const gone = goneSignal(reply);
  const dropping = { ...caller, drop: dropOf(context, reply) };
  const response = await context.engine
    .submit(anthropicSubmission(message, dropping, context.config), gone)
    .catch((error: unknown) => {
      throw withParam(error, "input", "messages");
    })
    .finally(() => caller.lease?.release());
  if (response.isUnbounded) alsoIgnored(context, reply, reasoningBudgetFields(message));
  return message.stream ? stream(context, response, reply) : whole(response, gone);
}

/** Throws what an ending means that is none of a message. */
async function whole(response: Response, gone: AbortSignal): Promise<AnthropicMessage> {
  const cursor = response.read(-1);
  gone.addEventListener("abort", () => cursor.close());
  if (gone.aborted) cursor.close();
  for await (const _entry of cursor);
  const { ending } = response;
  if (ending === undefined) throw failure("cancelled");
  if (stopReasonOf(ending) === undefined) throw errorOf(ending);
  return anthropicMessage(response);
}

function stream(
  { config, logger }: ServerContext,
  response: Response,
  reply: FastifyReply,
): FastifyReply {
  const { id: requestId } = reply.request;
  const events = new AnthropicEvents(response);
  const shape = { dialect: anthropicDialect, keepAlive: () => events.ping() };
  const out = new EventStream(reply, config.limits, shape);
  const fail = (error: ServingError) => {
    writer.close();
    out.fail(error, () => eventText(anthropicError(error, requestId)));
  };
  const writer = new Writer(out, config.limits, {
    onTooSlow: () => fail(failure("consumer_too_slow")),
    onFault: (error) => fail(reported(error, logger, requestId)),
  });
  writer.add({
    cursor: response.read(-1),
    render: (entry, number, texts) => events.render(entry, number, texts),
    onEnd: () => {
      const ending = response.ending!;
      if (stopReasonOf(ending) !== undefined || ending.kind === "cancelled") out.end();
      else fail(errorOf(ending));
    },
    onInterrupted: fail,
  });
  out.whenGone(() => writer.close());
  return reply;
}
