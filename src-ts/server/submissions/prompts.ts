/** What a model is to read: messages, a text or token ids, as a worker takes them. */

import { packTokens } from "../../encoding/tokens.js";
import type { PrepareInput } from "../../worker/messages.js";

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

interface RoleAndContent {
  role: string;
  content: string | readonly object[];
  name?: string | null | undefined;
}

/** Templates know no developer: the role is OpenAI's newer word for system. */
export function chatInput(
  messages: readonly RoleAndContent[],
  templateArgs: Record<string, unknown> | null | undefined,
): PrepareInput {
  return {
    kind: "chat",
    messages: messages.map(({ role, content, name }) => ({
      role: role === "developer" ? "system" : role,
      content: textOf(content),
      ...(name != null && { name }),
    })),
    ...(templateArgs != null && { templateArgs }),
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
