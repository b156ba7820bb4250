import { describe, expect, it } from "vitest";
import { idempotencyOf, ofChoice } from "../../../../src-ts/server/submissions/idempotency.js";

const print = (body: object, route = "chat") => idempotencyOf(route, "k", body)?.fingerprint;
const body = { model: "m", temperature: 1, messages: [{ role: "user", content: "Hi" }] };

it("is nothing without a key", () => {
  expect(idempotencyOf("chat", undefined, body)).toBeUndefined();
  expect(ofChoice(undefined, 1)).toBeUndefined();
  expect(ofChoice({ key: "k", fingerprint: "f" }, 1)).toEqual({ key: "k#1", fingerprint: "f" });
});

describe("a body asks for the same", () => {
  it.each([
    { ...body, stream: true, stream_options: {} },
    { ...body, client_metadata: { a: "b" }, event_id: "1", stream_id: "a", type: "x" },
    { ...body, "mlx_serving:priority": "batch" },
    { ...body, top_p: null, stop: undefined },
    { ...body, generate: true },
    { messages: [{ content: "Hi", role: "user" }], temperature: 1, model: "m" },
  ])("as %j", (other) => {
    expect(print(other)).toBe(print(body));
  });
});

describe("a body asks for something else", () => {
  it.each([
    { ...body, temperature: 0 },
    { ...body, seed: 1 },
    { ...body, seed: 2n ** 60n },
    { ...body, generate: false },
    { ...body, messages: [...body.messages, ...body.messages] },
    { ...body, stop: ["b", "a"] },
  ])("than the first %#", (other) => {
    expect(print(other)).not.toBe(print(body));
  });

  it("on another route, and in another order of a list", () => {
    expect(print(body, "completions")).not.toBe(print(body));
    expect(print({ stop: ["a", "b"] })).not.toBe(print({ stop: ["b", "a"] }));
    expect(print({ seed: 2n ** 60n })).not.toBe(print({ seed: 2n ** 60n + 1n }));
  });
});
