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

it("a developer is a system to a template, and names and arguments are kept", () => {
  const messages = [
    { role: "developer", content: "a" },
    { role: "user", content: "b", name: "Bo" },
    { role: "user", content: "c", name: null },
  ];
  expect(chatInput(messages, { thinking: false })).toEqual({
    kind: "chat",
    messages: [
      { role: "system", content: "a" },
      { role: "user", content: "b", name: "Bo" },
      { role: "user", content: "c" },
    ],
    templateArgs: { thinking: false },
  });
  expect(chatInput([], null)).toEqual({ kind: "chat", messages: [] });
});

it("prompts are texts or token ids, one or several", () => {
  const text = (value: string) => ({ kind: "text", text: value });
  const tokens = (...ids: number[]) => ({ kind: "tokens", tokens: packTokens(ids) });
  expect(promptInputs("")).toEqual([text("")]);
  expect(promptInputs([1, 2])).toEqual([tokens(1, 2)]);
  expect(promptInputs(["a", [3], "b"])).toEqual([text("a"), tokens(3), text("b")]);
});
