import { expect, it } from "vitest";
import { ChatBody } from "../../../../src-ts/protocol/index.js";
import { chatSubmissions } from "../../../../src-ts/server/submissions/chat.js";
import { caller } from "./caller.js";

const messages = [{ role: "user", content: "Hi" }];
const submissions = (fields: object, who = {}) =>
  chatSubmissions(ChatBody.parse({ messages, ...fields }), { ...caller, ...who });

it("are one a choice, which differ in seed and key alone", () => {
  const three = submissions({ n: 3, seed: 5, max_tokens: 9 }, { idempotencyKey: "k" });
  expect(three.map(({ sampling }) => sampling?.seed)).toEqual([5n, 6n, 7n]);
  expect(three.map(({ idempotency }) => idempotency?.key)).toEqual(["k#0", "k#1", "k#2"]);
  const same = three.map(({ sampling: _, idempotency: __, ...rest }) => rest);
  expect(new Set(same.map((one) => JSON.stringify(one))).size).toBe(1);
  expect(same[0]).toMatchObject({ maxTokens: 9, store: false, abandonment: { kind: "cancel" } });
});

it("leave out what the body leaves out: the engine has the defaults", () => {
  const [one] = submissions({});
  const said = Object.entries(one!.sampling!).filter(([, value]) => value !== undefined);
  expect(said).toEqual([]);
  expect([one!.model, one!.maxTokens, one!.priority]).toEqual([undefined, undefined, undefined]);
});

it.each([
  [{ logprobs: true }, 0],
  [{ logprobs: true, top_logprobs: 4 }, 4],
  [{ logprobs: false }, undefined],
])("ask for log probabilities by %j", (fields, logprobs) => {
  expect(submissions(fields)[0]!.sampling!.logprobs).toBe(logprobs);
});

it.each([
  [{ top_logprobs: 2 }, "top_logprobs"],
  [{ stream_options: { include_usage: true } }, "stream_options"],
  [{ max_tokens: 1, max_completion_tokens: 2 }, "max_tokens"],
])("of %j blame a field", (fields, param) => {
  expect(() => submissions(fields)).toThrow(
    expect.objectContaining({ code: "invalid_value", status: 400, param }),
  );
});
