import { describe, expect, it } from "vitest";
import { AnthropicCountBody } from "../../../../src-ts/protocol/anthropic.js";
import { anthropicHistory } from "../../../../src-ts/server/submissions/anthropic-history.js";

function history(messages: object[], system?: unknown, keepsNoise = false) {
  const body = AnthropicCountBody.parse({ messages, system });
  return anthropicHistory(body.system, body.messages, keepsNoise);
}

const text = (text: string) => ({ type: "text", text, cache_control: { type: "ephemeral" } });
const user = (...content: object[]) => ({ role: "user", content });
const assistant = (...content: object[]) => ({ role: "assistant", content });
const use = (id: string, input: object = {}) => ({ type: "tool_use", id, name: "look", input });
const result = (id: string, fields: object = {}) => ({
  type: "tool_result",
  tool_use_id: id,
  ...fields,
});
const hi = { role: "user", content: "Hi" };

describe("the system's prompt", () => {
  it.each([
    ["Be brief.", "Be brief."],
    [[text("Be "), text("brief.")], "Be brief."],
    [[text("x-anthropic-billing-header: cc_version=2.1; cch=0f;"), text("Be brief.")], "Be brief."],
    [[text("Say x-anthropic-billing-header.")], "Say x-anthropic-billing-header."],
    ["x-anthropic-billing-header: a\nBe brief.", "x-anthropic-billing-header: a\nBe brief."],
  ])("%j comes first", (system, content) => {
    expect(history([hi], system)).toEqual([{ role: "system", content }, hi]);
  });

  it.each([undefined, null, "", [], [text("x-anthropic-billing-header: a")]])(
    "%j is none",
    (system) => {
      expect(history([hi], system)).toEqual([hi]);
    },
  );

  it("may come between turns", () => {
    expect(history([hi, { role: "system", content: [text("Now.")] }, hi])[1]).toEqual({
      role: "system",
      content: "Now.",
    });
  });
});

describe("a turn of the user", () => {
  it("is text, or blocks of it", () => {
    expect(history([user(text("a"), text("b"))])).toEqual([{ role: "user", content: "ab" }]);
    expect(history([user()])).toEqual([{ role: "user", content: "" }]);
  });

  it("holds results, and text after them", () => {
    const turns = [
      hi,
      assistant(use("1"), use("2")),
      user(
        result("1", { content: "one" }),
        result("2", { content: [text("t"), text("wo")] }),
        text("Go on."),
      ),
    ];
    expect(history(turns).slice(2)).toEqual([
      { role: "tool", tool_call_id: "1", content: "one" },
      { role: "tool", tool_call_id: "2", content: "two" },
      { role: "user", content: "Go on." },
    ]);
  });

  it.each([
    [{}, ""],
    [{ content: null }, ""],
    [{ content: [] }, ""],
    [{ content: "no file", is_error: true }, "Error: no file"],
    [{ is_error: true }, "Error"],
    [{ content: "file", is_error: false }, "file"],
  ])("has a result %j as %j", (fields, content) => {
    expect(history([hi, assistant(use("1")), user(result("1", fields))]).at(-1)).toEqual({
      role: "tool",
      tool_call_id: "1",
      content,
    });
  });

  it.each([
    [[user(result("1"))], "messages[0].content[0].tool_use_id"],
    [[hi, assistant(use("1")), user(text("a"), result("2"))], "messages[2].content[1].tool_use_id"],
    [[user(result("1")), assistant(use("1"))], "messages[0].content[0].tool_use_id"],
  ])("has no result of a call that nobody has made", (turns, param) => {
    expect(() => history(turns)).toThrow(expect.objectContaining({ status: 400, param }));
  });
});

describe("a turn of the model", () => {
  it("is what it thought, said and called", () => {
    const turn = assistant(
      { type: "thinking", thinking: "Hm.", signature: "s" },
      { type: "redacted_thinking", data: "0" },
      text("Let me "),
      text("look."),
      use("1", { path: "a", deep: { b: [1] } }),
    );
    expect(history([hi, turn])[1]).toEqual({
      role: "assistant",
      content: "Let me look.",
      reasoning_content: "Hm.",
      tool_calls: [
        {
          id: "1",
          type: "function",
          function: { name: "look", arguments: '{"path":"a","deep":{"b":[1]}}' },
        },
      ],
    });
  });

  it("is text alone", () => {
    expect(history([hi, { role: "assistant", content: "Hello." }])[1]).toEqual({
      role: "assistant",
      content: "Hello.",
    });
  });

  it("is without what another host's tools did", () => {
    const turn = assistant(
      { type: "server_tool_use", id: "s", name: "web_search", input: {} },
      { type: "web_search_tool_result", tool_use_id: "s", content: [] },
      text("Found."),
    );
    expect(history([hi, turn])[1]).toEqual({ role: "assistant", content: "Found." });
  });
});

describe("what is another in every turn", () => {
  const counter = "<total_tokens>181234 tokens left</total_tokens>";
  const reminder =
    "<system-reminder>\nToken usage: 18766/200000; 181234 remaining\n</system-reminder>";
  const late = (content: unknown) => ({ role: "system", content });
  const said = { role: "user", content: "Hi" };

  it.each([counter, [text(counter)], [text(`\n${counter}\n`)], [text(counter), text(reminder)]])(
    "is left out: a counter %j of the system",
    (content) => {
      expect(history([hi, late(content)])).toEqual([said]);
    },
  );

  it("is left out beside what is said", () => {
    expect(history([user(text("Hi"), text(reminder))])).toEqual([said]);
    expect(history([hi, assistant(use("1")), user(result("1"), text(reminder))])).toHaveLength(3);
    expect(history([hi, late([text("Now."), text(counter)])])[1]?.content).toBe("Now.");
  });

  it.each([
    `${counter} Be brief.`,
    "<total_tokens>all tokens left</total_tokens>",
    "Token usage: 1/2; 1 remaining, or so",
    `<system-reminder>\nToken usage: 1/2; 1 remaining\nDo.\n</system-reminder>`,
  ])("is not %j", (content) => {
    expect(history([hi, late(content)])[1]?.content).toBe(content);
    expect(history([user(text("Hi"), text(content))])[0]?.content).toBe(`Hi${content}`);
  });

  it("is not what somebody says and nothing beside it", () => {
    expect(history([{ role: "user", content: counter }])[0]?.content).toBe(counter);
    expect(history([user(text(counter))])[0]?.content).toBe(counter);
  });

  it("is kept where a server is asked to", () => {
    const billing = "x-anthropic-billing-header: cc_version=2.1; cch=0f;";
    expect(history([hi, late(counter)], [text(billing)], true)).toEqual([
      { role: "system", content: billing },
      said,
      { role: "system", content: counter },
    ]);
    expect(history([user(text("Hi"), text(counter))], "", true)[0]?.content).toBe(`Hi${counter}`);
  });
});
