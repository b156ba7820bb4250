/**
 * `npm run schemas -- --as answers`: every schema of tests/fixtures/schemas, answered by the embedded model: refused
 * with a path, or each answer that ended is valid by ajv.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { isServingError } from "../../src-ts/errors.js";
import { enforceable } from "../../src-ts/server/submissions/schemas/index.js";
import { complaintOf, validatorOf } from "../support/schemas.js";
import { Answers, schemasAtOnce, settings } from "./answers.js";

vi.setConfig({
  testTimeout: 3_600_000,
  hookTimeout: 600_000,
  maxConcurrency: schemasAtOnce,
});

let answers: Answers;

beforeAll(async () => {
  answers = await Answers.start("schemas");
});
afterAll(() => answers?.end());

/** Undefined: it was cut. */
async function textOf(text: string, name: string, number: number): Promise<string | undefined> {
  const words = name.slice(name.indexOf(" ") + 1).replaceAll("_", " ");
  const messages = [{ role: "user", content: `Give an example of a ${words} as JSON.` }];
  const submission = {
    input: { kind: "chat" as const, messages },
    constraint: { kind: "json" as const, text },
  };
  const response = await answers.ask(submission, number);
  expect(["stop", "length"], JSON.stringify(response.ending)).toContain(response.ending!.kind);
  return response.ending!.kind === "stop" ? response.text : undefined;
}

describe("each is refused with a path, or every answer that ends is valid", () => {
  it.concurrent.each(settings.schemas)("$name", async ({ name, schema }) => {
    let made: (string | undefined)[];
    try {
      const text = enforceable(schema, ["schema"]);
      const numbers = Array.from({ length: settings.answersOfEach }, (_, number) => number);
      made = await Promise.all(numbers.map((number) => textOf(text, name, number)));
    } catch (error) {
      if (!isServingError(error)) throw error;
      expect(error.status).toBe(400);
      expect(error.param).toMatch(/^(schema|constraint)/);
      answers.figures.refused++;
      return;
    }
    const validate = validatorOf(schema);
    const outcomes = made.map((text) => {
      if (text === undefined) return "cut";
      expect(complaintOf(validate, text), text).toBeUndefined();
      return "valid";
    });
    answers.answered(outcomes);
  });
});
