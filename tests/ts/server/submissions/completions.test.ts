import { expect, it } from "vitest";
import { CompletionBody, limits } from "../../../../src-ts/protocol/index.js";
import { completionSubmissions } from "../../../../src-ts/server/submissions/completions.js";
import { caller } from "./caller.js";

const submissions = (fields: object, who = {}) =>
  completionSubmissions(CompletionBody.parse(fields), { ...caller, ...who });

it("are one a choice of each prompt, a prompt's choices beside each other", () => {
  const four = submissions({ prompt: ["a", "b"], n: 2, seed: 1 }, { idempotencyKey: "k" });
  expect(four.map(({ input }) => input)).toEqual(
    ["a", "a", "b", "b"].map((text) => ({ kind: "text", text })),
  );
  expect(four.map(({ sampling }) => sampling?.seed)).toEqual([1n, 2n, 1n, 2n]);
  expect(four.map(({ idempotency }) => idempotency?.key)).toEqual(["k#0", "k#1", "k#2", "k#3"]);
});

it("have no seed where none is asked for: each gets one of its own", () => {
  const seeds = submissions({ prompt: "a", n: 2 }).map(({ sampling }) => sampling?.seed);
  expect(seeds).toEqual([undefined, undefined]);
});

it("are bounded", () => {
  const prompt = Array.from({ length: limits.promptsMax }, () => "a");
  const n = limits.choicesMax / limits.promptsMax;
  expect(submissions({ prompt, n })).toHaveLength(limits.choicesMax);
  expect(() => submissions({ prompt, n: n + 1 })).toThrow(
    expect.objectContaining({ code: "invalid_value", param: "n" }),
  );
});
