/** Token counts as each API shows them. */
import type { Response, ResponseUsage } from "../../engine/api.js";
import type { CompletionUsage } from "../../protocol/chat.js";
import type { ResponseUsage as ResponseUsageObject } from "../../protocol/responses.js";

export function responseUsage(usage: ResponseUsage): ResponseUsageObject {
  const { promptTokens, cachedTokens, completionTokens } = usage;
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens, cache_write_tokens: 0 },
    output_tokens: completionTokens,
    output_tokens_details: detailsOf(usage.reasoningTokens, usage.forcedTokens),
    total_tokens: promptTokens + completionTokens,
  };
}

/** Forced tokens are an extension, and there is nothing to be said where there are none. */
function detailsOf(reasoning: number, forced = 0): CompletionUsage["completion_tokens_details"] {
  return { reasoning_tokens: reasoning, ...(forced > 0 && { forced_tokens: forced }) };
}

/** Set once the response has ended. */
export function usageOf({ entries }: Response): ResponseUsage | undefined {
  const last = entries.at(-1);
  return last?.kind === "ended" ? last.usage : undefined;
}

/**
 * Of all choices together. A prompt counts once, however many choices it has: the first choice of
 * each prompt (`choices[i * perPrompt]`) speaks for it.
 */
export function completionUsage(choices: readonly Response[], perPrompt: number): CompletionUsage {
  let prompt = 0;
  let cached = 0;
  let completion = 0;
  let reasoning = 0;
  let forced = 0;
  choices.forEach((choice, index) => {
    const usage = usageOf(choice);
    if (usage === undefined) throw new TypeError(`response ${choice.id} has not ended`);
    completion += usage.completionTokens;
    reasoning += usage.reasoningTokens;
    forced += usage.forcedTokens ?? 0;
    if (index % perPrompt !== 0) return;
    prompt += usage.promptTokens;
    cached += usage.cachedTokens;
  });
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
    completion_tokens_details: detailsOf(reasoning, forced),
  };
}
