import { describe, expect, it } from "vitest";
import { ResponseBody } from "../../../../src-ts/protocol/index.js";
import {
  checkTogether,
  requireInput,
  responseSubmission,
} from "../../../../src-ts/server/submissions/responses.js";
import { caller } from "./caller.js";

const submission = (fields: object) =>
  responseSubmission(ResponseBody.parse({ input: "Hi", ...fields }), caller, 1_000);

describe("a submission", () => {
  it("is stored and kept unless it says otherwise", () => {
    expect(submission({})).toMatchObject({ store: true, abandonment: { kind: "keep" } });
    expect(submission({ store: null })).toMatchObject({ store: true });
    expect(submission({ store: false })).toMatchObject({
      store: false,
      abandonment: { kind: "grace", ms: 1_000 },
    });
  });

  it("begins with its instructions", () => {
    const { input } = submission({ instructions: "Be brief" });
    expect(input).toMatchObject({
      messages: [
        { role: "system", content: "Be brief" },
        { role: "user", content: "Hi" },
      ],
    });
  });

  it("repeats what the object of the response does", () => {
    const { echo } = submission({ metadata: { a: "b" }, max_output_tokens: 7, user: "me" });
    expect(echo).toMatchObject({
      kind: "response",
      metadata: { a: "b" },
      max_output_tokens: 7,
      user: "me",
      instructions: null,
      tool_choice: "auto",
    });
  });

  it.each([
    [{}, undefined],
    [{ top_logprobs: 3 }, 3],
    [{ include: ["message.output_text.logprobs"] }, 0],
  ])("asks for log probabilities by %j", (fields, logprobs) => {
    expect(submission(fields).sampling!.logprobs).toBe(logprobs);
  });

  it("generates nothing if nothing is to be", () => {
    const body = { ...ResponseBody.parse({ input: "Hi" }), generate: false };
    expect(responseSubmission(body, caller, 0).maxTokens).toBe(0);
  });
});

describe("an input", () => {
  const code = (body: object) => {
    try {
      requireInput(body as Parameters<typeof requireInput>[0]);
      return undefined;
    } catch (error) {
      return (error as { code: string }).code;
    }
  };

  it.each([
    [{ input: "Hi" }, undefined],
    [{ input: "" }, undefined],
    [{ input: [] }, "invalid_value"],
    [{}, "invalid_type"],
    [{ instructions: "Be brief" }, "invalid_type"],
    [{ instructions: "Be brief", generate: false }, undefined],
    [{ generate: false }, "invalid_type"],
    [{ previous_response_id: "resp_1" }, undefined],
    [{ previous_response_id: null }, "invalid_type"],
  ])("of %j is %s", (body, expected) => {
    expect(code(body)).toBe(expected);
  });
});

it.each([
  [{ stream_options: {} }, "stream_options"],
  [{ background: true, store: false }, "background"],
])("%j blames a field", (fields, param) => {
  const body = ResponseBody.parse({ input: "Hi", ...fields });
  expect(() => checkTogether(body)).toThrow(expect.objectContaining({ param }));
});
