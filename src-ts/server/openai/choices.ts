/**
 * Chat and completions: one request, several choices, each a response of its own inside. Here is what
 * the two have in common: submitting, waiting for all, streaming all, and what happens if one fails.
 */
import type { FastifyReply } from "fastify";
import type { Cursor, Ending, Response, SubmissionInput } from "../../engine/api.js";
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import type { BodyLease, BodyLimits } from "../bodies/budget.js";
import type { ServerContext } from "../context.js";
import { reported, withParam } from "../errors.js";
import { goneSignal } from "../http/client-gone.js";
import type { ChoiceChunks, ChunkHead } from "../render/chat-chunks.js";
import { errorOf, finishReasonOf } from "../render/endings.js";
import { completionUsage } from "../render/usage.js";
import { EventStream } from "../streams/sse.js";
import { Writer } from "../streams/writer.js";
import { conflict } from "../submissions/conflict.js";
import { alsoIgnored } from "../validation/tolerance.js";
import { submitAll } from "./submit-all.js";

export interface ChoicesRequest {
  /** Given away once they are submitted: prompts are long, and streams too. */
  submissions: readonly SubmissionInput[];
  lease: BodyLease | undefined;
  /** Choices of one prompt; they stand next to each other. */
  perPrompt: number;
  stream: boolean;
  includeUsage: boolean;
  /** What is not followed where a model's reasoning can't be bounded. */
  budgetFields?: readonly string[];
  /** What this API calls the engine's `input`. */
  inputParam: string;
  /** `object` of the usage chunk. */
  chunkObject: string;
  chunksOf(response: Response, head: ChunkHead, index: number): ChoiceChunks;
  /** The whole answer, from responses that have all ended well. */
  wholeOf(responses: readonly Response[]): unknown;
}

/** Answers; resolves with the body, or with `reply` where it has streamed. */
export function answerChoices(
  context: ServerContext,
  reply: FastifyReply,
  { submissions, lease, ...shape }: ChoicesRequest,
): Promise<unknown> {
  const gone = goneSignal(reply);
  holdForAll(lease, shape.perPrompt, context.config.limits);
  return submitAll(context.engine, submissions, shape.perPrompt, gone)
    .catch((error: unknown) => {
      throw withParam(error, "input", shape.inputParam);
    })
    .finally(() => lease?.release())
    .then((responses) => answer(context, reply, shape, responses, gone));
}

/** Every choice is a prompt of its own on its way to a worker. */
function holdForAll(lease: BodyLease | undefined, perPrompt: number, limits: BodyLimits): void {
  if (lease === undefined || perPrompt === 1) return;
  const bytes = lease.bytes * perPrompt;
  if (bytes > limits.bodiesBytesPerClientMax)
    throw conflict("n", "n must be smaller for a body of this length.");
  lease.hold(bytes);
}

type AnswerShape = Omit<ChoicesRequest, "submissions" | "lease">;

async function answer(
  context: ServerContext,
  reply: FastifyReply,
  request: AnswerShape,
  responses: readonly Response[],
  gone: AbortSignal,
): Promise<unknown> {
  const { budgetFields = [] } = request;
  if (responses.some(({ isUnbounded }) => isUnbounded)) alsoIgnored(context, reply, budgetFields);
  const { config, logger } = context;
  if (!request.stream) {
    await untilAllEnded(responses, gone);
    return request.wholeOf(responses);
  }
  const cursors = fromTheStart(responses);
  const report = (fault: unknown) => reported(fault, logger, reply.request.id);
  const stream = new EventStream(reply, config.limits);
  new ChoiceStream(stream, request, responses, report).start(cursors, config.limits);
  return reply;
}

function fromTheStart(responses: readonly Response[]): Cursor[] {
  return responses.map((response) => response.read(-1));
}

/** Throws what the first choice that ended badly means; the others are then given up. */
export async function untilAllEnded(
  responses: readonly Response[],
  gone: AbortSignal,
): Promise<void> {
  const cursors = fromTheStart(responses);
  const closeAll = () => {
    for (const cursor of cursors) cursor.close();
  };
  gone.addEventListener("abort", closeAll);
  if (gone.aborted) closeAll();
  try {
    await Promise.all(cursors.map(untilEnded));
  } finally {
    closeAll();
  }
}

async function untilEnded(cursor: Cursor): Promise<void> {
  for await (const entry of cursor) {
    if (entry.kind === "ended") throwIfBad(entry.ending);
  }
  if (!cursor.finished) throw errorOf({ kind: "cancelled" });
}

function throwIfBad(ending: Ending): void {
  if (finishReasonOf(ending) === undefined) throw errorOf(ending);
}

/** Ends a stream that has failed; no `[DONE]` comes after it. */
function errorChunk(error: ServingError): string {
  return `data: ${JSON.stringify({ error: error.toBody() })}\n\n`;
}

class ChoiceStream {
  private readonly head: ChunkHead;
  private writer: Writer | undefined;

  constructor(
    private readonly stream: EventStream,
    private readonly request: AnswerShape,
    private readonly responses: readonly Response[],
    private readonly report: (fault: unknown) => ServingError,
  ) {
    const [first] = responses;
    this.head = {
      id: first!.id,
      created: createdSeconds(first!),
      model: first!.model,
      includeUsage: request.includeUsage,
    };
  }

  start(
    cursors: readonly Cursor[],
    limits: { writeBufferBytesMax: number; lagEntriesMax: number },
  ): void {
    const writer = new Writer(this.stream, limits, {
      onTooSlow: () => this.fail(failure("consumer_too_slow")),
      onFault: (error) => this.fail(this.report(error)),
    });
    this.writer = writer;
    cursors.forEach((cursor, index) => {
      const chunks = this.request.chunksOf(cursor.response, this.head, index);
      writer.add({
        cursor,
        render: (entry, number, out) => chunks.render(entry, number, out),
        onEnd: () => this.choiceEnded(cursor.response.ending!),
        onInterrupted: (reason) => this.fail(reason),
      });
    });
    this.stream.whenGone(() => writer.close());
  }

  private choiceEnded(ending: Ending): void {
    if (finishReasonOf(ending) !== undefined) {
      if (this.writer!.size === 0) this.finish();
      return;
    }
    if (ending.kind !== "cancelled") this.fail(errorOf(ending));
    else {
      this.writer!.close();
      this.stream.end();
    }
  }

  private finish(): void {
    const { includeUsage, id, created, model } = this.head;
    const { chunkObject: object, perPrompt } = this.request;
    if (includeUsage) {
      const usage = completionUsage(this.responses, perPrompt);
      const chunk = { id, object, created, model, choices: [], usage };
      this.stream.end(`data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n`);
    } else this.stream.end("data: [DONE]\n\n");
  }

  private fail(error: ServingError): void {
    this.writer!.close();
    this.stream.fail(error, errorChunk);
  }
}

/** Unix seconds. */
export function createdSeconds({ createdAt }: Response): number {
  return Math.floor(createdAt / 1000);
}
