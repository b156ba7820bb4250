import { expect, it } from "vitest";
import { tokenLimitOf } from "../../../../src-ts/server/submissions/token-limit.js";

it.each([
  [{}, undefined],
  [{ max_tokens: null }, undefined],
  [{ max_tokens: 3 }, 3],
  [{ max_completion_tokens: 4, max_tokens: null }, 4],
  [{ max_output_tokens: 5, max_tokens: 5 }, 5],
  [{ n_predict: 6 }, 6],
])("%j is %s", (body, limit) => {
  expect(tokenLimitOf(body)).toBe(limit);
});

it("two names that differ are no limit", () => {
  expect(() => tokenLimitOf({ max_completion_tokens: 1, max_output_tokens: 2 })).toThrow(
    "max_completion_tokens and max_output_tokens differ; send one of them.",
  );
});
