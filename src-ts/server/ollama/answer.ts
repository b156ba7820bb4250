/** How both routes answer: whole, or a line of JSON for each piece. */
import type { FastifyReply } from "fastify";
import type { Response, SubmissionInput } from "../../engine/api.js";
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import type { ServerContext } from "../context.js";
import { reported, withParam } from "../errors.js";
import type { HttpCaller } from "../http/caller.js";
import { goneSignal } from "../http/client-gone.js";
import { errorOf, finishReasonOf } from "../render/endings.js";
import { lineOf, OllamaLines, type Shape, Timing } from "../render/ollama.js";
import { EventStream } from "../streams/sse.js";
import { Writer } from "../streams/writer.js";
import { ollamaDialect } from "./dialect.js";

export interface Asked {
  submission: SubmissionInput;
  stream: boolean;
  shape: Shape;
  /** What this route calls the engine's `input`. */
  inputParam: string;
}

export async function answer(
  context: ServerContext,
  caller: HttpCaller,
  { submission, stream, shape, inputParam }: Asked,
  reply: FastifyReply,
): Promise<unknown> {
  const timing = new Timing(context.now);
  const gone = goneSignal(reply);
  const response = await context.engine
    .submit(submission, gone)
    .catch((error: unknown) => {
      throw withParam(error, "input", inputParam);
    })
    .finally(() => caller.lease?.release());
  const lines = new OllamaLines(response, shape, timing);
  return stream ? streamed(context, response, lines, reply) : whole(response, lines, timing, gone);
}

/** Throws what an ending means that is none of an answer. */
async function whole(response: Response, lines: OllamaLines, timing: Timing, gone: AbortSignal) {
  const cursor = response.read(-1);
  gone.addEventListener("abort", () => cursor.close());
  if (gone.aborted) cursor.close();
  for await (const entry of cursor) timing.note(entry);
  const { ending } = response;
  if (ending === undefined) throw failure("cancelled");
  if (finishReasonOf(ending) === undefined) throw errorOf(ending);
  return lines.whole();
}

/** A space between lines is read over by whatever reads JSON, and an empty line is not. */
const streamShape = {
  dialect: ollamaDialect,
  contentType: "application/x-ndjson",
  probe: " ",
  keepAlive: () => " ",
};

function streamed(
  { config, logger }: ServerContext,
  response: Response,
  lines: OllamaLines,
  reply: FastifyReply,
): FastifyReply {
  const out = new EventStream(reply, config.limits, streamShape);
  const fail = (error: ServingError) => {
    writer.close();
    out.fail(error, () => lineOf(ollamaDialect.errorBody(error, reply.request.id)));
  };
  const writer = new Writer(out, config.limits, {
    onTooSlow: () => fail(failure("consumer_too_slow")),
    onFault: (error) => fail(reported(error, logger, reply.request.id)),
  });
  writer.add({
    cursor: response.read(-1),
    render: (entry, number, texts) => lines.render(entry, number, texts),
    onEnd: () => {
      const ending = response.ending!;
      if (finishReasonOf(ending) !== undefined) out.end();
      else fail(errorOf(ending));
    },
    onInterrupted: fail,
  });
  out.whenGone(() => writer.close());
  return reply;
}
