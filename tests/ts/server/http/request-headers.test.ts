import { describe, expect, it } from "vitest";
import {
  originOf,
  requestIdOf,
  withTrace,
} from "../../../../src-ts/server/http/request-headers.js";

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

describe("a request's origin", () => {
  it("is its id and its trace", () => {
    expect(originOf("req_1", { traceparent, tracestate: "a=b" })).toEqual({
      ...{ requestId: "req_1", traceparent, tracestate: "a=b" },
    });
    expect(originOf("req_1", {})).toEqual({ requestId: "req_1" });
  });

  it("has no state without a trace, and nothing that is no string or longer than a header may be", () => {
    expect(originOf("req_1", { tracestate: "a=b" })).toEqual({ requestId: "req_1" });
    const long = "a".repeat(2_000);
    expect(originOf("req_1", { traceparent: long })).toEqual({ requestId: "req_1" });
    expect(originOf("req_1", { traceparent, tracestate: long }).tracestate).toBeUndefined();
    const origin = { requestId: "req_1", traceparent: "of the upgrade" };
    expect(withTrace(origin, { a: 1 }, 3)).toBe(origin);
  });
});

it("a request id is the client's if it is short and printable", () => {
  expect(requestIdOf({ "x-request-id": "mine" })).toBe("mine");
  for (const bad of ["", "a b", "é", "a".repeat(129)])
    expect(requestIdOf({ "x-request-id": bad })).toMatch(/^req_[0-9a-f]{32}$/);
});
