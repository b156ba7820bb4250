import { expect, it } from "vitest";
import { samplingOf, withSeedOffset } from "../../../../src-ts/server/submissions/sampling.js";

it.each([
  [{ top_p: 0 }, { topP: 1, topK: 1 }],
  [
    { top_p: 0, top_k: 50 },
    { topP: 1, topK: 1 },
  ],
  [{ top_k: -1 }, { topK: 0 }],
  [{ top_k: 0 }, { topK: 0 }],
  [{ repeat_penalty: 1.2 }, { repetitionPenalty: 1.2 }],
  [{ stop: "a" }, { stop: ["a"] }],
  [{ stop: ["a", "b"] }, { stop: ["a", "b"] }],
  [{ logit_bias: { "5": -1.5 } }, { logitBias: [[5, -1.5]] }],
  [
    { temperature: 0, min_p: 0.1 },
    { temperature: 0, minP: 0.1 },
  ],
])("%j is %j to a worker", (body, sampling) => {
  expect(samplingOf(body, undefined)).toMatchObject(sampling);
});

it("two names that differ are no penalty", () => {
  expect(() => samplingOf({ repeat_penalty: 1, repetition_penalty: 2 }, undefined)).toThrow(
    "repeat_penalty and repetition_penalty differ; send one of them.",
  );
});

it("says nothing of what the body says nothing of", () => {
  const nulls = { temperature: null, stop: null, seed: null, logit_bias: null, top_k: null };
  for (const body of [{}, nulls])
    expect(Object.values(samplingOf(body, undefined)).every((one) => one === undefined)).toBe(true);
});

it("counts seeds on without losing a bit", () => {
  const seed = 2n ** 64n - 1n;
  expect(withSeedOffset(samplingOf({ seed }, 0), 2).seed).toBe(2n ** 64n + 1n);
  expect(withSeedOffset(samplingOf({ seed: -3 }, 0), 2).seed).toBe(-1n);
  expect(withSeedOffset(samplingOf({}, 0), 2).seed).toBeUndefined();
});
