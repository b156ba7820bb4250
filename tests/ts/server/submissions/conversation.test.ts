import { describe, expect, it } from "vitest";
import { conversation } from "../../../../src-ts/engine/conversation.js";
import { GivenItem, InputItem, ResponseBody } from "../../../../src-ts/protocol/responses.js";
import { isReadable, keptItems } from "../../../../src-ts/server/submissions/conversation.js";

const given = (input: unknown) => ResponseBody.parse({ input }).input;
const kept = (input: unknown) => keptItems(given(input), () => undefined);
const text = (value: string) => ({ type: "input_text", text: value });
const said = (value: string) => ({
  type: "output_text",
  text: value,
  annotations: [],
  logprobs: [],
});

const items: [string, object, object][] = [
  ["a message", { role: "user", content: "Hi" }, { role: "user", content: [text("Hi")] }],
  [
    "a message in parts",
    { type: "message", role: "developer", content: [text("a"), text("b")] },
    { role: "developer", content: [text("a"), text("b")] },
  ],
  [
    "an answer with its probabilities",
    {
      id: "msg_1",
      role: "assistant",
      status: "completed",
      content: [{ ...said("x"), logprobs: [{ token: "x" }], annotations: [{ a: 1 }] }],
    },
    { id: "msg_1", role: "assistant", content: [said("x")] },
  ],
  [
    "an answer as a text",
    { role: "assistant", content: "x" },
    { role: "assistant", content: [said("x")] },
  ],
  [
    "a refusal",
    { role: "assistant", content: [{ type: "refusal", refusal: "No." }] },
    { role: "assistant", content: [{ type: "refusal", refusal: "No." }] },
  ],
  [
    "a call",
    { type: "function_call", call_id: "c", name: "look", arguments: '{"a": 1}' },
    { type: "function_call", call_id: "c", name: "look", arguments: '{"a": 1}' },
  ],
  [
    "a call in a namespace",
    { type: "function_call", call_id: "c", name: "look", namespace: "n", arguments: "" },
    { type: "function_call", call_id: "c", name: "look", namespace: "n", arguments: "" },
  ],
  [
    "an output in parts",
    { type: "function_call_output", call_id: "c", output: [{ type: "text", text: "x" }] },
    { type: "function_call_output", call_id: "c", output: [text("x")] },
  ],
  [
    "a custom call",
    { type: "custom_tool_call", id: "ctc_1", call_id: "c", name: "run", input: "ls" },
    { type: "custom_tool_call", id: "ctc_1", call_id: "c", name: "run", input: "ls" },
  ],
  [
    "a custom output",
    { type: "custom_tool_call_output", call_id: "c", output: "x" },
    { type: "custom_tool_call_output", call_id: "c", output: "x" },
  ],
  [
    "reasoning",
    {
      type: "reasoning",
      summary: [{ type: "summary_text", text: "s" }],
      content: [{ type: "reasoning_text", text: "so" }],
      encrypted_content: "e",
    },
    { type: "reasoning", summary: [], content: [{ type: "reasoning_text", text: "so" }] },
  ],
];

describe("what is kept", () => {
  it.each(items)("of %s", (_name, item, expected) => {
    expect(kept([item])).toEqual([{ type: "message", status: "completed", ...expected }]);
  });

  it.each(items)("of %s is given back as the protocol says, and read again", (_name, item) => {
    const [one] = kept([item]);
    const whole = GivenItem.parse({ id: "x_1", ...one });
    expect(kept([InputItem.parse(whole)])).toEqual([whole]);
  });

  it.each(["function_call", "custom_tool_call"])("of a %s that was broken off says so", (type) => {
    const call = { type, call_id: "c", name: "look", status: "incomplete" };
    const texts = type === "function_call" ? { arguments: '{"a' } : { input: "l" };
    const [one] = kept([{ ...call, ...texts }]);
    expect(one).toEqual({ ...call, ...texts });
    expect(kept([InputItem.parse(GivenItem.parse({ id: "x_1", ...one }))])).toEqual([
      { id: "x_1", ...one },
    ]);
  });

  it("of a text is a message of its user", () => {
    expect(kept("Hi")).toEqual(kept([{ role: "user", content: "Hi" }]));
    expect(keptItems(undefined, () => undefined)).toEqual([]);
  });

  it("of a reference is what it names", () => {
    const [call] = given([items[5]![1]]) as InputItem[];
    const reference = { type: "item_reference", id: "fc_1" };
    expect(keptItems(given([reference]), () => call)).toEqual(kept([items[5]![1]]));
    expect(kept([reference])).toEqual([]);
  });

  it.each([7, "", "x".repeat(513), null])("without an id where %j is none", (id) => {
    expect(kept([{ role: "user", content: "Hi", id }])[0]).not.toHaveProperty("id");
  });
});

it.each([
  [[{ type: "message" }], true],
  [[{ type: "message" }, { type: "thought_of_tomorrow" }], false],
  [[{ type: "toString" }], false],
  [[{}], false],
  [["x"], false],
  [[null], false],
])("a folder's items %j can be read: %s", (stored, expected) => {
  expect(isReadable(conversation(stored, undefined))).toBe(expected);
  expect(isReadable(conversation([], conversation(stored, undefined)))).toBe(expected);
});
