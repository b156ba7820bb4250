import { describe, expect, it } from "vitest";
import {
  idleState,
  type ResponseState,
  withAbort,
  withEnd,
  withEvent,
} from "../../../src-ts/browser/state.js";
import { ClientError, type ResponseStreamEvent } from "../../../src-ts/client/index.js";

/** A change in place throws from now on. */
function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null)
    for (const inner of Object.values(Object.freeze(value))) frozen(inner);
  return value;
}

/** The state after these events, numbered from 0. */
function stateAfter(events: readonly object[], from: ResponseState = idleState): ResponseState {
  return events.reduce<ResponseState>((state, event) => {
    const sequence_number = state.cursor + 1;
    return withEvent(frozen(state), { sequence_number, ...event } as ResponseStreamEvent);
  }, from);
}

const response = (status: string, output: object[] = []) => ({
  id: "resp_1",
  status,
  output,
  usage: null,
});
const created = { type: "response.created", response: response("in_progress") };
const added = (output_index: number, item: object) => ({
  ...{ type: "response.output_item.added", output_index },
  item: { status: "in_progress", ...item },
});
const part = (type: string) => ({ type, text: "", annotations: [], logprobs: [] });
const partAdded = (output_index: number, of: object, content_index = 0) => ({
  ...{ type: "response.content_part.added", output_index, content_index, part: of },
});
const delta = (kind: string, output_index: number, text: string, content_index = 0) => ({
  ...{ type: `response.${kind}.delta`, output_index, content_index, delta: text },
});
const message = { id: "msg", type: "message", role: "assistant", content: [] };
const thought = { id: "rs", type: "reasoning", summary: [], content: [] };
const call = { id: "fc", type: "function_call", call_id: "c1", name: "weather", arguments: "" };
const custom = { id: "ct", type: "custom_tool_call", call_id: "c2", name: "shell", input: "" };

describe("items grow as their events say", () => {
  const events = [
    created,
    added(0, thought),
    partAdded(0, { type: "reasoning_text", text: "" }),
    delta("reasoning_text", 0, "Hm"),
    delta("reasoning_text", 0, "m."),
    added(1, message),
    partAdded(1, part("output_text")),
    delta("output_text", 1, "Let me "),
    delta("output_text", 1, "look."),
    added(2, call),
    delta("function_call_arguments", 2, '{"city":'),
    added(3, custom),
    delta("custom_tool_call_input", 3, "ls"),
  ];

  it("texts, reasoning and the arguments of calls", () => {
    const state = stateAfter(events);
    expect(state).toMatchObject({
      responseId: "resp_1",
      cursor: 12,
      text: "Let me look.",
      reasoning: "Hmm.",
    });
    expect(state.items).toMatchObject([
      { type: "reasoning", content: [{ text: "Hmm." }] },
      { type: "message", content: [{ text: "Let me look." }] },
      { type: "function_call", arguments: '{"city":' },
      { type: "custom_tool_call", input: "ls" },
    ]);
    expect(state.calls).toEqual(state.items.slice(2));
  });

  it("in a new state each; what did not grow is the same object", () => {
    const states = [idleState];
    for (const event of events) states.push(stateAfter([event], states.at(-1)));
    expect(new Set(states).size).toBe(events.length + 1);
    expect(states[8]!.items[1]).not.toBe(states[9]!.items[1]);
    expect(states.at(-1)!.items[0]).toBe(states[5]!.items[0]);
  });

  it("a complete item takes the place of the growing one", () => {
    const done = { ...call, status: "completed", arguments: '{"city":"Oslo"}' };
    const state = stateAfter([
      ...events,
      { type: "response.output_item.done", output_index: 2, item: done },
    ]);
    expect(state.calls[0]).toEqual(done);
  });

  it("text of an item that was never added still counts", () => {
    const state = stateAfter([delta("output_text", 0, "on")]);
    expect(state).toMatchObject({ text: "on", items: [] });
  });
});

describe("the end", () => {
  const content = [{ ...part("output_text"), text: "All." }];
  const ended = (status: string, type = status) =>
    stateAfter([
      created,
      {
        type: `response.${type}`,
        response: { ...response(status, [{ ...message, content }]), usage: { total_tokens: 4 } },
      },
    ]);

  it("brings the whole output, whatever came before", () => {
    const state = ended("completed");
    expect(state).toMatchObject({ text: "All.", items: [{ content }], usage: { total_tokens: 4 } });
    expect(state.response?.id).toBe("resp_1");
  });

  it.each([
    ["completed", "completed"],
    ["incomplete", "incomplete"],
    ["cancelled", "incomplete"],
  ])("is %s by the response's own word", (status, type) => {
    const state = withEnd({ ...ended(status, type), running: true }, {});
    expect(state).toMatchObject({ status, running: false, error: undefined });
  });

  it("is a failure with its error, and text is kept", () => {
    const error = new ClientError("No", { code: "worker_crashed" });
    expect(withEnd(ended("failed"), { error })).toMatchObject({
      status: "failed",
      text: "All.",
      error,
    });
  });

  it("is a cancellation where this client has left it", () => {
    const state = withAbort({
      ...stateAfter([created, delta("output_text", 0, "a")]),
      running: true,
    });
    expect(state).toMatchObject({ status: "cancelled", running: false, text: "a" });
  });
});
