/** POST /v1/tokenize, /v1/detokenize and /v1/responses/input_tokens: tokens alone, and nothing generated. */
import type { FastifyReply } from "fastify";
import type { Spelling, SubmissionInput, Tokenized } from "../../engine/api.js";
import {
  type Detokenization,
  DetokenizeBody,
  type InputTokens,
  InputTokensBody,
  type Tokenization,
  TokenizeBody,
} from "../../protocol/tokens.js";
import type { ServerContext } from "../context.js";
import { withParam } from "../errors.js";
import type { HttpCaller } from "../http/caller.js";
import { unlessGone } from "../http/client-gone.js";
import { predecessorOf } from "../predecessors.js";
import { storedItems } from "../response-access.js";
import { callerFields } from "../submissions/caller.js";
import { requireInput, responseSubmission } from "../submissions/responses.js";
import { detokenizeSubmission, spellingOf, tokenizeSubmission } from "../submissions/tokens.js";
import { dropOf, tolerateBody } from "../validation/tolerance.js";

export async function tokenize(
  context: ServerContext,
  caller: HttpCaller,
  body: unknown,
  reply: FastifyReply,
): Promise<Tokenization> {
  const asked = tolerateBody(context, TokenizeBody, body, reply);
  const dropping = { ...caller, drop: dropOf(context, reply) };
  const submission = tokenizeSubmission(asked, dropping);
  const named = asked.messages != null ? "messages" : asked.prompt != null ? "prompt" : "content";
  const told = await tokensOf(
    context,
    caller,
    { submission, spell: spellingOf(asked), named },
    reply,
  );
  const tokens = Array.from(told.tokens);
  const pieces = told.pieces ?? [];
  return {
    count: tokens.length,
    max_model_len: contextMaxOf(context, told.model),
    tokens: asked.with_pieces ? tokens.map((id, i) => ({ id, piece: pieces[i]! })) : tokens,
    token_strs: asked.return_token_strs ? [...pieces] : null,
  };
}

export async function detokenize(
  context: ServerContext,
  caller: HttpCaller,
  body: unknown,
  reply: FastifyReply,
): Promise<Detokenization> {
  const submission = detokenizeSubmission(
    tolerateBody(context, DetokenizeBody, body, reply),
    caller,
  );
  const spell = { text: true, pieces: false };
  const { text = "" } = await tokensOf(
    context,
    caller,
    { submission, spell, named: "tokens" },
    reply,
  );
  return { prompt: text, content: text };
}

interface Asked {
  submission: SubmissionInput;
  spell: Spelling;
  /** What the body calls what is tokenized. */
  named: string;
}

function tokensOf(
  { engine }: ServerContext,
  { lease }: HttpCaller,
  { submission, spell, named }: Asked,
  reply: FastifyReply,
): Promise<Tokenized> {
  return unlessGone(reply, (gone) => engine.tokenize(submission, spell, gone))
    .catch((error: unknown) => {
      throw withParam(error, "input", named);
    })
    .finally(() => lease?.release());
}

function contextMaxOf({ engine }: ServerContext, model: string): number | null {
  return engine.models().find(({ id }) => id === model)?.contextMax ?? null;
}

/** POST /v1/responses/input_tokens. */
export async function countInputTokens(
  context: ServerContext,
  caller: HttpCaller,
  body: unknown,
  reply: FastifyReply,
): Promise<InputTokens> {
  const asked = tolerateBody(context, InputTokensBody, body, reply);
  requireInput(asked);
  const { engine, config } = context;
  const items = storedItems(engine, caller.owner);
  const dropping = { ...caller, drop: dropOf(context, reply) };
  const previous = predecessorOf(engine, caller.owner, asked.previous_response_id);
  const { model, input } = responseSubmission(
    { ...asked, store: false },
    dropping,
    config.resumeGraceMs,
    items,
    previous,
  );
  const submission = { model, input, ...callerFields(caller), idPrefix: "count" };
  const input_tokens = await unlessGone(reply, (gone) =>
    engine.countTokens(submission, gone),
  ).finally(() => caller.lease?.release());
  return { object: "response.input_tokens", input_tokens };
}
