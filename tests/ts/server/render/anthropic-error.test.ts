import { expect, it } from "vitest";
import { ServingError } from "../../../../src-ts/errors.js";
import { failures } from "../../../../src-ts/failures.js";
import { AnthropicError } from "../../../../src-ts/protocol/anthropic.js";
import { anthropicError } from "../../../../src-ts/server/render/anthropic-error.js";

const typeOf = (status: number) =>
  anthropicError(new ServingError("said", { code: "c", status }), "req_1").error.type;

it.each([
  [400, "invalid_request_error"],
  [401, "authentication_error"],
  [403, "permission_error"],
  [404, "not_found_error"],
  [405, "invalid_request_error"],
  [409, "invalid_request_error"],
  [413, "request_too_large"],
  [415, "invalid_request_error"],
  [429, "rate_limit_error"],
  [499, "invalid_request_error"],
  [500, "api_error"],
  [503, "overloaded_error"],
  [504, "timeout_error"],
])("%i is of type %s", (status, type) => {
  expect(typeOf(status)).toBe(type);
});

it("every failure has the shape", () => {
  for (const [code, { status }] of Object.entries(failures)) {
    const error = new ServingError("said", { code, status, param: "field" });
    expect(AnthropicError.parse(anthropicError(error, "req_1"))).toMatchObject({
      error: { message: "said", param: "field", code },
      request_id: "req_1",
    });
  }
});

it("a thread is refused in the way by which clients go on without one", () => {
  const errorOf = (param: string, code: string) =>
    AnthropicError.parse(
      anthropicError(new ServingError("said", { code, status: 400, param }), "r"),
    ).error;
  expect(errorOf("thread", "unsupported_parameter").details).toEqual({
    error_code: "thread_unsupported_request",
    unsupported: ["thread"],
  });
  for (const [param, code] of [
    ["thread", "invalid_value"],
    ["messages", "unsupported_parameter"],
  ] as const)
    expect(errorOf(param, code)).not.toHaveProperty("details");
});
