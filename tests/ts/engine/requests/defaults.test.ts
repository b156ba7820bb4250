import { describe, expect, it } from "vitest";
import {
  completeSubmission,
  neutralSampling,
  seedOf,
  withDefaults,
} from "../../../../src-ts/engine/requests/defaults.js";

const input = { kind: "text", text: "Hi" } as const;

describe("a submission that leaves everything out", () => {
  it("is anybody's, of normal priority, kept, and drawn by chance", () => {
    expect(completeSubmission({ input }, () => 0.5)).toEqual({
      input,
      owner: "local",
      clientId: "local",
      priority: "normal",
      store: false,
      abandonment: { kind: "keep" },
      idPrefix: "resp",
      sampling: {
        presencePenalty: 0,
        frequencyPenalty: 0,
        logitBias: [],
        seed: 2 ** 31,
        stop: [],
        logprobs: -1,
      },
    });
  });

  it("is the same as one that says so by undefined", () => {
    const silent = {
      input,
      owner: undefined,
      priority: undefined,
      sampling: { seed: undefined, stop: undefined, logprobs: undefined, temperature: undefined },
    } as unknown as Parameters<typeof completeSubmission>[0];
    expect(completeSubmission(silent, () => 0)).toMatchObject({
      owner: "local",
      priority: "normal",
      sampling: { seed: 0, stop: [], logprobs: -1 },
    });
  });
});

it("what is said stays", () => {
  const sampling = { seed: 7, stop: ["x"], logprobs: 0, presencePenalty: 1, temperature: 0 };
  const whole = completeSubmission({ input, owner: "me", store: true, sampling }, () => 0.5);
  expect(whole).toMatchObject({ owner: "me", clientId: "me", store: true, sampling });
});

it("a model's own sampling comes before the neutral one", () => {
  const { sampling } = completeSubmission({ input, sampling: { topK: 3 } }, () => 0);
  const own = { ...neutralSampling, temperature: 0.6, topK: 20 };
  expect(withDefaults(sampling, own)).toMatchObject({ temperature: 0.6, topK: 3, topP: 1 });
  expect(withDefaults(sampling)).toMatchObject({ temperature: 0, topK: 3, seed: 0n });
});

it.each([
  [-1, 2n ** 64n - 1n],
  [2n ** 64n + 3n, 3n],
  [5, 5n],
])("the seed %s is %s to a worker", (seed, expected) => {
  expect(seedOf(seed)).toBe(expected);
});

it("a seed is an integer", () => {
  expect(() => seedOf(1.5)).toThrow(
    expect.objectContaining({ code: "invalid_value", param: "seed" }),
  );
});
