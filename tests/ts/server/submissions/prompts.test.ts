import { expect, it } from "vitest";
import { packTokens } from "../../../../src-ts/encoding/tokens.js";
import { chatInput, promptInputs, textOf } from "../../../../src-ts/server/submissions/prompts.js";

it.each([
  ["a", "a"],
  [[{ text: "a" }, { text: "b" }], "ab"],
  [[{ refusal: "no" }, { text: "!" }], "no!"],
  [[{}], ""],
])("the text of %j is %j", (content, text) => {
  expect(textOf(content)).toBe(text);
});

it("a chat says no more than was asked", () => {
  const messages = [{ role: "user", content: "b", name: "Bo" }] as const;
  const tools = { tools: [], choice: "auto", parallel: true } as const;
  const asked = { templateArgs: { thinking: false }, tools: { ...tools, tools: [] } };
  const reasoning = { enabled: false };
  expect(chatInput({ messages, ...asked, reasoning })).toEqual({
    kind: "chat",
    messages,
    ...asked,
    reasoning,
  });
  expect(chatInput({ messages: [], templateArgs: null })).toEqual({ kind: "chat", messages: [] });
});

it("prompts are texts or token ids, one or several", () => {
  const text = (value: string) => ({ kind: "text", text: value });
  const tokens = (...ids: number[]) => ({ kind: "tokens", tokens: packTokens(ids) });
  expect(promptInputs("")).toEqual([text("")]);
  expect(promptInputs([1, 2])).toEqual([tokens(1, 2)]);
  expect(promptInputs(["a", [3], "b"])).toEqual([text("a"), tokens(3), text("b")]);
});
