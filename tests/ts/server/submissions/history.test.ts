import { describe, expect, it } from "vitest";
import { ChatBody, ResponseBody } from "../../../../src-ts/protocol/index.js";
import { InputItem } from "../../../../src-ts/protocol/responses.js";
import {
  chatHistory,
  type ItemLookup,
  responseHistory,
} from "../../../../src-ts/server/submissions/history.js";

const chat = (...messages: object[]) => chatHistory(ChatBody.parse({ messages }).messages);
const responses = (items: object[], lookup: ItemLookup = () => undefined) => {
  const { input } = ResponseBody.parse({ input: items });
  return responseHistory(input as Exclude<typeof input, string | undefined>, lookup);
};

const called = (id: string, name: string, args: string) => ({
  id,
  type: "function",
  function: { name, arguments: args },
});
const tool = (tool_call_id: string, content: string) => ({ role: "tool", tool_call_id, content });
const blames = (param: string) => expect.objectContaining({ status: 400, param });

describe("a chat", () => {
  it("keeps calls, their outputs and what was thought; a developer is a system", () => {
    const call = called("1", "look", '{"path": 1}');
    const { type: _, ...untyped } = called("2", "look", " ");
    const custom = { id: "3", type: "custom", custom: { name: "run", input: 'ls "x"' } };
    expect(
      chat(
        { role: "developer", content: "a" },
        { role: "user", content: [{ type: "text", text: "b" }], name: "Bo" },
        {
          role: "assistant",
          content: null,
          tool_calls: [call, untyped, custom],
          reasoning_content: "Hm",
        },
        { role: "tool", tool_call_id: "1", content: [{ type: "text", text: "x" }], name: "look" },
        { role: "tool", tool_call_id: "3", content: "" },
        { role: "assistant", content: "So", tool_calls: null },
      ),
    ).toEqual([
      { role: "system", content: "a" },
      { role: "user", content: "b", name: "Bo" },
      {
        role: "assistant",
        content: "",
        reasoning_content: "Hm",
        tool_calls: [call, called("2", "look", "{}"), called("3", "run", '{"input":"ls \\"x\\""}')],
      },
      { ...tool("1", "x"), name: "look" },
      tool("3", ""),
      { role: "assistant", content: "So" },
    ]);
  });

  it("has calls of functions by ids of their own", () => {
    const call = { name: "look", arguments: "{}" };
    expect(
      chat(
        { role: "assistant", content: null, function_call: call },
        { role: "function", name: "look", content: "1" },
        { role: "assistant", content: "", function_call: call },
        { role: "function", name: "look", content: "2" },
      ),
    ).toMatchObject([
      { tool_calls: [{ id: "legacy_call_0" }] },
      { ...tool("legacy_call_0", "1"), name: "look" },
      { tool_calls: [{ id: "legacy_call_2" }] },
      { ...tool("legacy_call_2", "2"), name: "look" },
    ]);
  });

  const args = (text: string) => ({ role: "assistant", tool_calls: [called("1", "look", text)] });
  it.each<[object[], string]>([
    [[args("{")], "messages[0].tool_calls[0].function.arguments"],
    [[args("[]")], "messages[0].tool_calls[0].function.arguments"],
    [[args("null")], "messages[0].tool_calls[0].function.arguments"],
    [[args('"{}"')], "messages[0].tool_calls[0].function.arguments"],
    [
      [{ role: "assistant", function_call: { name: "look", arguments: "x" } }],
      "messages[0].function_call.arguments",
    ],
    [[tool("1", "x")], "messages[0].tool_call_id"],
    [[args("{}"), tool("2", "x")], "messages[1].tool_call_id"],
    [[tool("1", "x"), args("{}")], "messages[0].tool_call_id"],
    [[{ role: "function", name: "look", content: "x" }], "messages[0].name"],
  ])("of %j blames %s, without its text", (messages, param) => {
    expect(() => chat(...messages)).toThrow(blames(param));
  });
});

describe("items", () => {
  const call = (call_id: string, fields = {}) => ({
    type: "function_call",
    call_id,
    name: "look",
    arguments: "{}",
    ...fields,
  });
  const output = (call_id: string, text: unknown) => ({
    type: "function_call_output",
    call_id,
    output: text,
  });
  const thought = (text: string) => ({
    type: "reasoning",
    summary: [],
    content: [{ type: "reasoning_text", text }],
  });
  const said = (text: string) => ({ role: "assistant", content: [{ type: "output_text", text }] });

  it("of one turn are one message", () => {
    expect(
      responses([
        { role: "developer", content: "a" },
        { role: "user", content: "b" },
        { ...thought("Hm"), id: "rs_1", status: "completed" },
        { ...said("Let me."), id: "msg_1" },
        call("1", { id: "fc_1", namespace: "docs" }),
        { type: "custom_tool_call", call_id: "2", name: "run", input: "ls" },
        output("1", [
          { type: "input_text", text: "x" },
          { type: "input_text", text: "y" },
        ]),
        { type: "custom_tool_call_output", call_id: "2", output: "z", status: "completed" },
        thought("Oh"),
        call("3"),
        output("3", "w"),
        said("Done."),
        said("Really."),
      ]),
    ).toEqual([
      { role: "system", content: "a" },
      { role: "user", content: "b" },
      {
        role: "assistant",
        content: "Let me.",
        reasoning_content: "Hm",
        tool_calls: [called("1", "docs__look", "{}"), called("2", "run", '{"input":"ls"}')],
      },
      tool("1", "xy"),
      tool("2", "z"),
      {
        role: "assistant",
        content: "",
        reasoning_content: "Oh",
        tool_calls: [called("3", "look", "{}")],
      },
      tool("3", "w"),
      { role: "assistant", content: "Done." },
      { role: "assistant", content: "Really." },
    ]);
  });

  it("of which nothing can be read say nothing", () => {
    expect(
      responses([{ type: "reasoning", summary: [], encrypted_content: "x" }, said("a")]),
    ).toEqual([{ role: "assistant", content: "a" }]);
  });

  it("that were broken off are left out, and nobody has an output of them", () => {
    const cut = { status: "incomplete" };
    const custom = { type: "custom_tool_call", call_id: "3", name: "run", input: "l", ...cut };
    const items = [said("a"), call("1", { arguments: '{"a', ...cut }), call("2", cut), custom];
    expect(responses(items)).toEqual([{ role: "assistant", content: "a" }]);
    const reference = { type: "item_reference", id: "fc_1" };
    const lookup: ItemLookup = () => InputItem.parse(call("1", { arguments: "{", ...cut }));
    expect(responses([reference, said("a")], lookup)).toEqual(responses([said("a")]));
    for (const status of ["completed", "in_progress", null, 7])
      expect(responses([call("1", { status }), output("1", "x")])).toHaveLength(2);
    expect(() => responses([call("1", cut), output("1", "x")])).toThrow(blames("input[1].call_id"));
  });

  it("that are referred to stand where they are", () => {
    const stored = ResponseBody.parse({ input: [call("1"), said("a")] }).input;
    const lookup: ItemLookup = (id) =>
      (stored as Exclude<typeof stored, string | undefined>)[Number(id)];
    const reference = (id: string) => ({ type: "item_reference", id });
    expect(responses([reference("1"), reference("0"), output("1", "x")], lookup)).toEqual([
      { role: "assistant", content: "a", tool_calls: [called("1", "look", "{}")] },
      tool("1", "x"),
    ]);
    expect(() => responses([reference("2")], lookup)).toThrow(blames("input[0].id"));
  });

  it.each<[object[], string]>([
    [[call("1", { arguments: "{" })], "input[0].arguments"],
    [[call("1", { arguments: "3" })], "input[0].arguments"],
    [[output("1", "x")], "input[0].call_id"],
    [[call("1"), output("2", "x")], "input[1].call_id"],
    [[{ type: "custom_tool_call_output", call_id: "1", output: "" }], "input[0].call_id"],
    [[{ type: "item_reference", id: "msg_1" }], "input[0].id"],
  ])("%j blame %s", (items, param) => {
    expect(() => responses(items)).toThrow(blames(param));
  });
});
