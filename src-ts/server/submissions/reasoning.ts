/** How a model is to reason, from what a body says of it and what it hands to the template. */
import type { ReasoningRequest } from "../../worker/messages.js";
import { conflict } from "./conflict.js";

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

/** What of a body bounds reasoning, in OpenAI's APIs and in Anthropic's. */
interface Bounding {
  reasoning?: { max_tokens?: number | null | undefined } | null | undefined;
  thinking_token_budget?: number | null | undefined;
  thinking?: { type: string; budget_tokens?: number } | null | undefined;
}

/** The fields that bound it, and the bound of each. */
function boundsOf({ reasoning, thinking_token_budget, thinking }: Bounding): [string, number][] {
  const given: [string, number | null | undefined][] = [
    ["reasoning.max_tokens", reasoning?.max_tokens],
    ["thinking_token_budget", thinking_token_budget],
    ["thinking.budget_tokens", thinking?.budget_tokens],
  ];
  return given.filter((bound): bound is [string, number] => bound[1] != null);
}

/** Tokens of reasoning at most, under whichever of its names. Throws 400 where two of them differ. */
export function reasoningBudgetOf(body: Bounding): number | undefined {
  const [first, ...others] = boundsOf(body);
  const other = others.find(([, bound]) => bound !== first![1]);
  if (other !== undefined)
    throw conflict(first![0], `${first![0]} and ${other[0]} differ; send one of them.`);
  return first?.[1];
}

/** Names of the fields that ask for a bound: none is followed where a model's reasoning can't be bounded. */
export function reasoningBudgetFields(body: Bounding): string[] {
  return boundsOf(body).map(([name]) => name);
}
