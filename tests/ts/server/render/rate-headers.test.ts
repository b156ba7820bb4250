import { expect, it } from "vitest";
import {
  anthropicRateHeaders,
  openAiRateHeaders,
  spanText,
} from "../../../../src-ts/server/render/rate-headers.js";

it.each([
  [0, "0s"],
  [0.2, "1ms"],
  [340, "340ms"],
  [6_150, "6.2s"],
  [59_999, "60s"],
  [60_000, "1m0s"],
  [360_000, "6m0s"],
  [3_600_001, "1h0m1s"],
])("%d ms are %s", (ms, text) => {
  expect(spanText(ms)).toBe(text);
});

it("has headers for rates that have a limit, and for no others", () => {
  const requests = { limit: 60, remaining: 59, resetMs: 1000 };
  expect(openAiRateHeaders({ requests, tokens: undefined })).toEqual({
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-reset-requests": "1s",
  });
  const anthropic = anthropicRateHeaders({ requests, tokens: requests }, Date.UTC(2030, 0, 31));
  expect(Object.keys(anthropic)).toHaveLength(12);
  expect(anthropic).toMatchObject({
    "x-ratelimit-limit-tokens": "60",
    "anthropic-ratelimit-requests-remaining": "59",
    "anthropic-ratelimit-tokens-reset": "2030-01-31T00:00:01.000Z",
  });
});
