/** What is left of a key's rates, as headers of an answer: OpenAI's names, and Anthropic's. Pure. */
import type { RateState } from "../access/limits.js";

/** Undefined: this rate has no limit. */
export interface Rates {
  requests: RateState | undefined;
  tokens: RateState | undefined;
}

type Headers = Record<string, string>;

/** `x-ratelimit-limit-requests`, `-remaining-requests`, `-reset-requests`, and the same of tokens. */
export function openAiRateHeaders({ requests, tokens }: Rates): Headers {
  return { ...openAiOf("requests", requests), ...openAiOf("tokens", tokens) };
}

function openAiOf(what: string, state: RateState | undefined): Headers {
  if (state === undefined) return {};
  return {
    [`x-ratelimit-limit-${what}`]: String(state.limit),
    [`x-ratelimit-remaining-${what}`]: String(state.remaining),
    [`x-ratelimit-reset-${what}`]: spanText(state.resetMs),
  };
}

/** `anthropic-ratelimit-requests-limit`, `-remaining`, `-reset`, and the same of tokens; OpenAI's too. */
export function anthropicRateHeaders(rates: Rates, wall: number): Headers {
  const { requests, tokens } = rates;
  return {
    ...openAiRateHeaders(rates),
    ...anthropicOf("requests", requests, wall),
    ...anthropicOf("tokens", tokens, wall),
  };
}

function anthropicOf(what: string, state: RateState | undefined, wall: number): Headers {
  if (state === undefined) return {};
  const prefix = `anthropic-ratelimit-${what}`;
  return {
    [`${prefix}-limit`]: String(state.limit),
    [`${prefix}-remaining`]: String(state.remaining),
    [`${prefix}-reset`]: new Date(wall + state.resetMs).toISOString(),
  };
}

/** As OpenAI writes it: `0s`, `340ms`, `6.2s`, `6m0s`, `1h0m0s`. */
export function spanText(ms: number): string {
  if (ms === 0) return "0s";
  if (ms < 1000) return `${Math.ceil(ms)}ms`;
  if (ms < 60_000) return `${Math.ceil(ms / 100) / 10}s`;
  const seconds = Math.ceil(ms / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h > 0 ? `${h}h${m}m${s}s` : `${m}m${s}s`;
}

/** For pages of other origins, which may read no header that isn't named. */
export const exposedRateHeaders = ["limit", "remaining", "reset"].flatMap((part) =>
  ["requests", "tokens"].map((what) => `x-ratelimit-${part}-${what}`),
);
