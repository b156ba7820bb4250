/** How a model is to reason, from what a body says of it and what it hands to the template. */
import type { ReasoningRequest } from "../../worker/messages.js";

/** Undefined: as the template has it. What is handed to the template is said most plainly. */
export function reasoningOf(
  effort: "none" | null | undefined,
  { chat_template_kwargs }: { chat_template_kwargs?: Record<string, unknown> | null | undefined },
  maxTokens?: number | null,
): ReasoningRequest | undefined {
  const handed = chat_template_kwargs?.enable_thinking;
  const enabled = typeof handed === "boolean" ? handed : effort === "none" ? false : undefined;
  if (enabled === undefined && maxTokens == null) return undefined;
  return {
    ...(enabled !== undefined && { enabled }),
    ...(maxTokens != null && { maxTokens }),
  };
}
