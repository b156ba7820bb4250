/** POST /v1/messages/count_tokens. */
import type { FastifyReply } from "fastify";
import { AnthropicCountBody, type AnthropicTokenCount } from "../../protocol/anthropic.js";
import type { ServerContext } from "../context.js";
import { withParam } from "../errors.js";
import type { HttpCaller } from "../http/caller.js";
import { unlessGone } from "../http/client-gone.js";
import { anthropicCount } from "../submissions/anthropic.js";
import { dropOf, tolerateBody } from "../validation/tolerance.js";

export async function countTokens(
  context: ServerContext,
  caller: HttpCaller,
  body: unknown,
  reply: FastifyReply,
): Promise<AnthropicTokenCount> {
  const prompt = tolerateBody(context, AnthropicCountBody, body, reply);
  const taking = { ...caller, drop: dropOf(context, reply) };
  const submission = anthropicCount(prompt, taking, context.config);
  const input_tokens = await unlessGone(reply, (gone) =>
    context.engine.countTokens(submission, gone),
  )
    .catch((error: unknown) => {
      throw withParam(error, "input", "messages");
    })
    .finally(() => caller.lease?.release());
  return { input_tokens };
}
