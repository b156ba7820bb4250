/** What a model is to read: messages, a text or token ids, as a worker takes them. */

import { packTokens } from "../../encoding/tokens.js";
import type { PrepareInput, ReasoningRequest, ToolOffer } from "../../worker/messages.js";

/** The text of a message: parts belong together without anything between them. */
export function textOf(content: string | readonly object[]): string {
  if (typeof content === "string") return content;
  return content
    .map((part) => {
      const { text, refusal } = part as { text?: string; refusal?: string };
      return text ?? refusal ?? "";
    })
    .join("");
}

/** A message of a history as workers take it: OpenAI's of a chat, its content a text. */
export interface PromptMessage {
  role: "system" | "user" | "assistant" | "tool";
  content: string;
  name?: string;
  reasoning_content?: string;
  tool_calls?: PromptCall[];
  tool_call_id?: string;
}

/** A call of a custom tool is one of a function, with its input as the only argument. */
export interface PromptCall {
  id: string;
  type: "function";
  function: { name: string; arguments: string };
}

export interface ChatRequest {
  messages: readonly PromptMessage[];
  templateArgs: Record<string, unknown> | null | undefined;
  tools?: ToolOffer | undefined;
  reasoning?: ReasoningRequest | undefined;
  /** Messages of the system's between turns become parts of the user's where the template refuses them. */
  foldsSystem?: boolean | undefined;
  /** Tokens of an earlier prompt and its answer, with which this one may begin. */
  previous?: Uint8Array | undefined;
}

export function chatInput(request: ChatRequest): PrepareInput {
  const { messages, templateArgs, tools, reasoning, previous, foldsSystem = false } = request;
  const isFolded = foldsSystem && messages.slice(1).some(({ role }) => role === "system");
  return {
    kind: "chat",
    messages: messages.map((message) => ({ ...message })),
    ...(templateArgs != null && { templateArgs }),
    ...(tools !== undefined && { tools }),
    ...(reasoning !== undefined && { reasoning }),
    ...(isFolded && { foldsSystem }),
    ...(previous !== undefined && { previous }),
  };
}

/** The prompts of a completion: one, or a list; each a text or token ids. */
export function promptInputs(
  prompt: string | readonly (string | number | readonly number[])[],
): PrepareInput[] {
  if (typeof prompt === "string") return [textInput(prompt)];
  if (typeof prompt[0] === "number") return [tokensInput(prompt as readonly number[])];
  return (prompt as readonly (string | readonly number[])[]).map((one) =>
    typeof one === "string" ? textInput(one) : tokensInput(one),
  );
}

function textInput(text: string): PrepareInput {
  return { kind: "text", text };
}

function tokensInput(ids: readonly number[]): PrepareInput {
  return { kind: "tokens", tokens: packTokens(ids) };
}
