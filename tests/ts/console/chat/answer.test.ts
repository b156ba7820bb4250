/** Events become an answer: its text, reasoning, calls, times and end. */
import { expect, it } from "vitest";
import type { ResponseStreamEvent } from "../../../../src-ts/client/index.js";
import {
  type Draft,
  newDraft,
  speedOf,
  withEvent,
  withFailure,
} from "../../../../src-ts/console/chat/answer.js";

const event = (type: string, rest: object = {}) =>
  ({ type, sequence_number: 0, ...rest }) as unknown as ResponseStreamEvent;

const usage = {
  input_tokens: 10,
  input_tokens_details: { cached_tokens: 4, cache_write_tokens: 0 },
  output_tokens: 21,
  output_tokens_details: { reasoning_tokens: 3 },
  total_tokens: 31,
};

const response = (status: string, rest: object = {}) => ({
  ...{ id: "resp_1", model: "m", status, output: [], usage, error: null },
  incomplete_details: null,
  ...rest,
});

function after(draft: Draft, ...events: [ResponseStreamEvent, number][]): Draft {
  return events.reduce((so, [one, now]) => withEvent(so, one, now), draft);
}

it("takes text, reasoning and calls as they grow, and their whole at the end", () => {
  const item = {
    type: "function_call",
    call_id: "c",
    name: "f",
    arguments: "",
    status: "in_progress",
  };
  const draft = after(
    newDraft(100),
    [event("response.created", { response: response("in_progress") }), 110],
    [event("response.reasoning_text.delta", { delta: "Hm. " }), 150],
    [event("response.output_text.delta", { delta: "Yes" }), 160],
    [event("response.output_item.added", { item }), 170],
    [event("response.function_call_arguments.delta", { delta: "{}" }), 180],
  );
  expect(draft.text).toBe("Yes");
  expect(draft.answer).toMatchObject({
    ...{ status: "streaming", responseId: "resp_1", reasoning: "Hm. ", ttftMs: 50 },
    calls: [{ callId: "c", name: "f", arguments: "{}", complete: false }],
  });
  const output = [
    { type: "message", content: [{ type: "output_text", text: "Yes, whole" }] },
    { ...item, arguments: "{}", status: "completed" },
  ];
  const ended = withEvent(
    draft,
    event("response.completed", { response: response("completed", { output }) }),
    550,
  );
  expect(ended.text).toBe("Yes, whole");
  expect(ended.answer).toMatchObject({
    ...{ status: "done", reasoning: "", ttftMs: 50, decodeMs: 400 },
    usage: { input: 10, output: 21, cached: 4, reasoning: 3 },
    calls: [{ complete: true }],
  });
  expect(speedOf(ended.answer)).toBeCloseTo(50);
});

it("tells how it ended", () => {
  const status = (one: object) =>
    withEvent(newDraft(0), event("response.incomplete", { response: one }), 1).answer.status;
  expect(
    status(response("incomplete", { incomplete_details: { reason: "max_output_tokens" } })),
  ).toBe("cut");
  expect(status(response("cancelled", { incomplete_details: { reason: "cancelled" } }))).toBe(
    "stopped",
  );
  const error = { code: "deadline_exceeded", message: "too late" };
  const failed = withEvent(
    newDraft(0),
    event("response.failed", { response: response("failed", { error }) }),
    1,
  );
  expect(failed.answer).toMatchObject({ status: "failed", error });
  expect(withFailure(newDraft(0), error).answer).toMatchObject({ status: "failed", error });
});

it("knows no times of what another page began", () => {
  const delta = event("response.output_text.delta", { delta: "a" });
  const end = event("response.completed", { response: response("completed") });
  const { answer } = after(newDraft(undefined), [delta, 5], [end, 9]);
  expect([answer.ttftMs, answer.decodeMs, speedOf(answer)]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});
