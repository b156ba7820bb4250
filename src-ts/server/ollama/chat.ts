/** POST /api/chat and /api/generate. */
import type { FastifyReply } from "fastify";
import { OllamaChatBody, OllamaGenerateBody } from "../../protocol/ollama.js";
import type { ServerContext } from "../context.js";
import type { HttpCaller } from "../http/caller.js";
import { chatShape, generationShape, type Shape } from "../render/ollama.js";
import { ollamaChat, ollamaGeneration } from "../submissions/ollama.js";
import { dropOf, tolerateBody } from "../validation/tolerance.js";
import { answer } from "./answer.js";
import { findModel, servedName } from "./models.js";

export async function chat(
  context: ServerContext,
  caller: HttpCaller,
  given: unknown,
  reply: FastifyReply,
): Promise<unknown> {
  const parsed = tolerateBody(context, OllamaChatBody, given, reply);
  const body = { ...parsed, model: servedName(context.engine, caller.owner, parsed.model) };
  if ((body.messages ?? []).length === 0) return loaded(context, caller, body.model, chatShape);
  const submission = ollamaChat(body, { ...caller, drop: dropOf(context, reply) });
  const asked = { submission, stream: body.stream ?? true, shape: chatShape };
  return answer(context, caller, { ...asked, inputParam: "messages" }, reply);
}

export async function generate(
  context: ServerContext,
  caller: HttpCaller,
  given: unknown,
  reply: FastifyReply,
): Promise<unknown> {
  const parsed = tolerateBody(context, OllamaGenerateBody, given, reply);
  const body = { ...parsed, model: servedName(context.engine, caller.owner, parsed.model) };
  if (!body.prompt) return loaded(context, caller, body.model, generationShape);
  const submission = ollamaGeneration(body, caller);
  const asked = { submission, stream: body.stream ?? true, shape: generationShape };
  return answer(context, caller, { ...asked, inputParam: "prompt" }, reply);
}

/** Who asks nothing wants the model loaded, and here it always is. Throws 404. */
function loaded(
  { engine }: ServerContext,
  { lease, owner }: HttpCaller,
  name: string | null | undefined,
  shape: Shape,
) {
  lease?.release();
  const { id: model } = findModel(engine, owner, name);
  const created_at = new Date().toISOString();
  return { model, created_at, ...shape({ content: "" }), done: true, done_reason: "load" };
}
