/** What a prepared request takes, or why it can never fit. Pure. */
import type { Cost } from "../machines/Batch.js";
import type { Failure } from "../machines/Request.js";
import type { Limits } from "./supervisor.js";

/** Tokens that a request may generate when it doesn't say. */
export const maxTokensDefault = 4_096;

export type Size =
  | { fits: true; maxTokens: number; cost: Cost }
  | { fits: false; code: Failure; message: string; field: string | undefined };

/** `wanted`: tokens to generate at most; undefined: what the context leaves, at most the default. */
export function sizeOf(promptTokens: number, wanted: number | undefined, limits: Limits): Size {
  if (promptTokens === 0) return misfit("invalid_prompt", "the prompt has no tokens", "input");
  const left = limits.contextMax - promptTokens;
  if (left < 1) {
    const message = `the prompt has ${promptTokens} tokens; the context holds ${limits.contextMax}, one of them for the answer`;
    return misfit("context_length_exceeded", message, "input");
  }
  const newTokens = Math.min(wanted ?? maxTokensDefault, left);
  const kvBytes = limits.kvBytesFixed + limits.kvBytesPerToken * (promptTokens + newTokens);
  if (kvBytes > limits.kvBudgetBytes)
    return misfit("memory_budget_exceeded", overBudget(kvBytes, limits.kvBudgetBytes), undefined);
  return { fits: true, maxTokens: newTokens, cost: { promptTokens, newTokens, kvBytes } };
}

function misfit(code: Failure, message: string, field: string | undefined): Size {
  return { fits: false, code, message, field };
}

export function overBudget(neededBytes: number, limitBytes: number): string {
  const mib = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  return `the request needs ${mib(neededBytes)} of KV cache; a worker has ${mib(limitBytes)} (--memory-budget)`;
}
