/**
 * `npm run schemas -- --as tools`: the schemas of tests/fixtures/schemas as the parameters of a tool that must be
 * called: refused with a path, or the arguments of every call that ended are valid by ajv. What is cut by the token
 * limit is no call. SCHEMAS_ENGINE=fake has the fake engine call them, which takes the shortest way through each
 * grammar.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Response } from "../../src-ts/engine/api.js";
import { isServingError } from "../../src-ts/errors.js";
import { ChatBody } from "../../src-ts/protocol/index.js";
import { chatSubmissions } from "../../src-ts/server/submissions/chat.js";
import { complaintOf, validatorOf } from "../support/schemas.js";
import { Answers, schemasAtOnce, settings } from "./answers.js";

vi.setConfig({
  testTimeout: 3_600_000,
  hookTimeout: 600_000,
  maxConcurrency: schemasAtOnce,
});

const caller = {
  owner: "local",
  clientId: "local",
  priority: undefined,
  deadlineMs: undefined,
  idempotencyKey: undefined,
  origin: { requestId: "req" },
};

let answers: Answers;

beforeAll(async () => {
  answers = await Answers.start("schemas as tools");
});
afterAll(() => answers?.end());

function called(parameters: object, name: string): Promise<Response[]> {
  const words = name.slice(name.indexOf(" ") + 1).replaceAll("_", " ");
  const body = {
    messages: [{ role: "user", content: `Send an example of a ${words}.` }],
    tools: [{ type: "function", function: { name: "send", parameters } }],
    tool_choice: "required",
    parallel_tool_calls: false,
  };
  const submissions = Array.from({ length: settings.answersOfEach }, () =>
    chatSubmissions(ChatBody.parse(body), caller),
  ).flat();
  return Promise.all(submissions.map((submission, number) => answers.ask(submission, number)));
}

/** Undefined: it was cut. */
function argumentsOf(response: Response): string | undefined {
  expect(["toolCalls", "length"], JSON.stringify(response.ending)).toContain(response.ending!.kind);
  if (response.ending!.kind === "length") return undefined;
  const items = response.output.filter(({ item }) => item.kind !== "reasoning");
  expect(items).toEqual([
    expect.objectContaining({
      item: expect.objectContaining({ kind: "functionCall", name: "send" }),
    }),
  ]);
  return items[0]!.parts.map(({ text }) => text).join("");
}

describe("each is refused with a path, or the arguments of every call are valid", () => {
  it.concurrent.each(settings.schemas)("$name", async ({ name, schema }) => {
    let responses: Response[];
    try {
      responses = await called(schema, name);
    } catch (error) {
      if (!isServingError(error)) throw error;
      expect(error.status).toBe(400);
      expect(error.param).toMatch(/^tools\[0\]\.function\.parameters/);
      answers.figures.refused++;
      return;
    }
    const validate = validatorOf(schema);
    const outcomes = responses.map(argumentsOf).map((text) => {
      if (text === undefined) return "cut";
      expect(complaintOf(validate, text), text).toBeUndefined();
      return "valid";
    });
    answers.answered(outcomes);
  });
});
