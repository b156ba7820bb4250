import { expect, it } from "vitest";
import { didYouMean, nearest } from "../../src-ts/nearest.js";

const models = ["smollm2-135m-instruct", "mlx-community/Qwen3-4B-4bit"];

it.each([
  ["smollm2-135m-instrct", models, models[0]],
  ["SmolLM2_135M_Instruct", models, models[0]],
  ["smollm2", models, models[0]],
  ["qwen3-4b-4bit", models, models[1]],
  ["other/Qwen3-4B-4bit", models, models[1]],
  ["gpt-4o", models, undefined],
  ["prot", ["port", "host"], "port"],
  ["maxbatch", ["max-batch", "max-queue"], "max-batch"],
  ["max", ["max-batch", "max-queue"], undefined],
  ["x", ["y"], undefined],
  ["", ["port"], undefined],
  ["port", [], undefined],
  ["p".repeat(10_000), ["p".repeat(300)], undefined],
])("%s of %j: %s", (meant, names, found) => {
  expect(nearest(meant, names)).toBe(found);
});

it("asks, or says nothing", () => {
  expect(didYouMean("sevre", ["serve", "chat"])).toBe(" Did you mean serve?");
  expect(didYouMean("colour", ["serve", "chat"])).toBe("");
});
