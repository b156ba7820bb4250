/** A body of the Responses API, over HTTP or WebSocket, as a submission. */
import { z } from "zod";
import type { SubmissionInput } from "../../engine/api.js";
import { conversation } from "../../engine/conversation.js";
import {
  type InputItem,
  includeLogprobs,
  type ParsedResponseBody,
  type ResponseBody,
  ResponseInput,
} from "../../protocol/responses.js";
import type { ResponseEcho } from "../render/echo.js";
import { validate } from "../validation/validate.js";
import { type Caller, callerFields } from "./caller.js";
import { checkStreamOptions, conflict } from "./conflict.js";
import { constraintOf } from "./constraint.js";
import { keptIn, keptItems, type Predecessor } from "./conversation.js";
import { type ItemLookup, responseHistory } from "./history.js";
import { idempotencyOf } from "./idempotency.js";
import { chatInput, type PromptMessage } from "./prompts.js";
import { reasoningBudgetOf, reasoningOf } from "./reasoning.js";
import { samplingOf } from "./sampling.js";
import { tokenLimitOf } from "./token-limit.js";
import { repeatedChoice, repeatedTools, responseTools } from "./tools.js";

/** A body as either transport has it. */
type AnyBody = Omit<ParsedResponseBody, "input"> & {
  input?: ParsedResponseBody["input"] | undefined;
  /** False: the prompt is computed and kept, no token is made. */
  generate?: boolean | null | undefined;
  /** Over HTTP alone. */
  background?: boolean | null | undefined;
};

/** What ids of this API begin with. */
export const responseIdPrefix = "resp";

/** Throws 400 where there is nothing to answer: instructions alone can only be prefilled. */
export function requireInput(body: AnyBody): void {
  const { input, generate, instructions, previous_response_id } = body;
  if (input !== undefined && input.length > 0) return;
  if (previous_response_id != null) return;
  if (input === "" || (generate === false && instructions != null)) return;
  validate(RequiredInput, { input });
}

/** As a body over HTTP must have it. */
const RequiredInput = z.object({ input: ResponseInput });

/** Of a body over HTTP: throws 400 for fields that do not go together. */
export function checkTogether(body: ResponseBody): void {
  requireInput(body);
  checkStreamOptions(body);
  if (body.background && body.store === false)
    throw conflict("background", "background needs store to be true: it is read by its id.");
}

/** `store` is true unless it is false. */
export function responseSubmission(
  body: AnyBody,
  caller: Caller,
  resumeGraceMs: number,
  lookup: ItemLookup = nothing,
  previous?: Predecessor,
): SubmissionInput {
  const store = body.store ?? true;
  const { offer, ...tooling } = responseTools(body, caller.drop);
  const wantsLogprobs = body.include?.includes(includeLogprobs) || (body.top_logprobs ?? 0) > 0;
  return {
    model: body.model ?? undefined,
    input: chatInput({
      messages: messagesOf(body, lookup, previous),
      previous: previous?.tokens,
      templateArgs: body.chat_template_kwargs,
      tools: offer,
      reasoning: reasoningOf(body.reasoning?.effort, body, reasoningBudgetOf(body)),
    }),
    sampling: samplingOf(body, wantsLogprobs ? (body.top_logprobs ?? 0) : undefined),
    ...constraintOf(body),
    ...tooling,
    maxTokens: body.generate === false ? 0 : tokenLimitOf(body),
    ...callerFields(caller),
    store,
    abandonment: store ? { kind: "keep" } : { kind: "grace", ms: resumeGraceMs },
    idempotency: idempotencyOf("responses", caller.idempotencyKey, body),
    echo: echoOf(body),
    conversation: conversation(keptItems(body.input, lookup), previous?.conversation),
    idPrefix: responseIdPrefix,
  };
}

const nothing: ItemLookup = () => undefined;

/** The instructions of those before are not carried over. */
function messagesOf(
  { instructions, input = [] }: AnyBody,
  lookup: ItemLookup,
  previous: Predecessor | undefined,
): PromptMessage[] {
  const items: InputItem[] =
    typeof input === "string" ? [{ role: "user", content: input }] : [...input];
  const messages = responseHistory(items, lookup, previous && keptIn(previous.conversation));
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
    previous_response_id: body.previous_response_id ?? null,
    prompt_cache_key: body.prompt_cache_key?.value ?? null,
    reasoning: { effort: body.reasoning?.effort ?? null, summary: null },
    text: { format: body.text?.format ?? { type: "text" }, verbosity: "medium" },
    safety_identifier: body.safety_identifier?.value ?? null,
    tool_choice: repeatedChoice(body.tool_choice),
    tools: repeatedTools(body.tools),
    top_logprobs: body.top_logprobs ?? 0,
    user: body.user?.value ?? null,
  };
}
