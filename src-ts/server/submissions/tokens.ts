/** Bodies of which only the tokens are wanted, as submissions that are never accepted. */
import { packTokens } from "../../encoding/tokens.js";
import type { Spelling, SubmissionInput } from "../../engine/api.js";
import type { DetokenizeBody, TokenizeBody } from "../../protocol/tokens.js";
import type { PrepareInput } from "../../worker/messages.js";
import { type Caller, callerFields } from "./caller.js";
import { conflict } from "./conflict.js";
import { chatHistory } from "./history.js";
import { chatInput } from "./prompts.js";
import { chatTools } from "./tools.js";

const idPrefix = "tok";

export function tokenizeSubmission(body: TokenizeBody, caller: Caller): SubmissionInput {
  return {
    model: body.model ?? undefined,
    input: inputOf(body, caller),
    ...callerFields(caller),
    idPrefix,
  };
}

/** Whether what each token says is wanted, by either name. */
export function spellingOf({ return_token_strs, with_pieces }: TokenizeBody): Spelling {
  return { text: false, pieces: Boolean(return_token_strs || with_pieces) };
}

export function detokenizeSubmission(body: DetokenizeBody, caller: Caller): SubmissionInput {
  return {
    model: body.model ?? undefined,
    input: { kind: "tokens", tokens: packTokens(body.tokens) },
    ...callerFields(caller),
    idPrefix,
  };
}

/** Throws 400 unless exactly one of what may be tokenized is there. */
function inputOf(body: TokenizeBody, caller: Caller): PrepareInput {
  const { prompt, content, messages, add_special_tokens, add_special } = body;
  const given = [prompt, content, messages].filter((one) => one != null);
  if (given.length !== 1)
    throw conflict("prompt", "prompt, messages or content is required: exactly one of them.");
  if (messages == null) {
    const special = prompt == null ? (add_special ?? false) : (add_special_tokens ?? true);
    return { kind: "text", text: prompt ?? content!, special };
  }
  if (add_special_tokens)
    throw conflict(
      "add_special_tokens",
      "add_special_tokens is for a prompt: a chat's template has its own.",
    );
  const { offer } = chatTools(body, caller.drop);
  return chatInput({
    messages: chatHistory(messages),
    templateArgs: body.chat_template_kwargs,
    tools: offer,
  });
}
