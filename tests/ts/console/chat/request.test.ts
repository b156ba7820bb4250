/** What is asked of the server: the path as items, settings as parameters, checked by the server's own schema. */
import { describe, expect, it } from "vitest";
import {
  defaultSettings,
  type Message,
  newAnswer,
} from "../../../../src-ts/console/chat/conversation.js";
import { promptOf, requestOf, toolsOf } from "../../../../src-ts/console/chat/request.js";
import { CreateResponseBody } from "../../../../src-ts/protocol/index.js";

const user = (text: string): Message => ({
  ...{ id: text, parent: null, role: "user", at: 0, text, attachments: [] },
});

describe("a request", () => {
  it("has nothing that was not set", () => {
    expect(requestOf([user("Hi")], defaultSettings)).toEqual({
      input: [{ type: "message", role: "user", content: "Hi" }],
      store: true,
    });
  });

  it("is one that the server takes, with all that can be set and all that can have been said", () => {
    const call = { callId: "c1", name: "f", arguments: "{}", complete: true };
    const answer = {
      ...{ ...newAnswer(), status: "done" as const, results: { c1: "42" } },
      // One was broken off, and one has no result yet: templates refuse both.
      calls: [call, { ...call, callId: "c2", complete: false }, { ...call, callId: "c3" }],
    };
    const assistant: Message = { ...user("So"), role: "assistant", answer };
    const body = requestOf([user("Hi"), assistant], {
      ...{ model: "m", system: "Be brief.", temperature: 0, topP: 0.9, topK: 4, minP: 0.1 },
      ...{ repetitionPenalty: 1.1, maxTokens: 7, seed: 5, reasoning: "off" },
      tools: '[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]',
    });
    expect(body.input.map((item) => (item as { type: string }).type)).toEqual([
      ...["message", "message", "function_call", "function_call_output"],
    ]);
    expect(body).toMatchObject({
      ...{ model: "m", instructions: "Be brief.", temperature: 0, max_output_tokens: 7 },
      reasoning: { effort: "none" },
      tools: [{ type: "function", name: "f" }],
    });
    expect(CreateResponseBody.safeParse(body).error).toBeUndefined();
  });

  it("brings files in fences that nothing in them closes", () => {
    const attachments = [{ name: "a.md", text: "```js\n1\n```" }];
    expect(promptOf({ text: "Read.", attachments })).toBe(
      "File a.md:\n````\n```js\n1\n```\n````\n\nRead.",
    );
  });
});

it("tools are a list or one, of either API's shape; anything else is no tool", () => {
  expect(toolsOf("")).toEqual([]);
  expect(toolsOf('{"type": "function", "name": "f"}')).toHaveLength(1);
  expect(() => toolsOf("{")).toThrow(SyntaxError);
  expect(() => toolsOf("[3]")).toThrow(TypeError);
});
