import { expect, it } from "vitest";
import { compared, tableOf } from "../../scripts/lib/lm-eval.mjs";

const direct = {
  choices: {
    metrics: { acc: 0.5 },
    answers: [
      [
        [-1.5, true],
        [-9, false],
      ],
      [[-2, false]],
    ] as [number, boolean][][],
  },
  answers: { metrics: { exact_match: 1 }, answers: [["Paris"]] },
};

it("is the same within what sums in another order differ by", () => {
  const near = structuredClone(direct);
  near.choices.answers[0]![0]![0] += 0.01;
  const [answers, choices] = compared(near, direct);
  expect(answers).toMatchObject({ task: "answers", requests: 1, differing: 0 });
  expect(choices).toMatchObject({ requests: 3, differing: 0 });
  expect(choices!.differenceMax).toBeCloseTo(0.01);
  expect(tableOf(compared(near, direct))).toContain("| choices | acc | 0.5 | 0.5 | 3 | none (");
});

it("differs by a likelihood, by a choice, by a text and by what is missing", () => {
  for (const change of [
    (said: typeof direct) => (said.choices.answers[0]![1]![0] = -9.1),
    (said: typeof direct) => (said.choices.answers[1]![0]![1] = true),
    (said: typeof direct) => (said.answers.answers[0]![0] = "Paris, France"),
    (said: typeof direct) => said.choices.answers.pop(),
  ]) {
    const said = structuredClone(direct);
    change(said);
    const differing = compared(said, direct).map((one) => one.differing);
    expect(differing.reduce((a, b) => a + b)).toBe(1);
  }
  expect(compared({}, direct).map((one) => one.differing)).toEqual([1, 3]);
});
