import { expect, it } from "vitest";
import { arrivedIn, utterancesOf } from "../../../../src-ts/engine/responses/utterances.js";
import type { Said, StepRow } from "../../../../src-ts/worker/messages.js";
import { logprob } from "../../support/logs.js";

const row = (said: Said, token = ""): StepRow =>
  token === "" ? [1, 0, 7, said] : [1, 0, 7, said, logprob(token)];
const text = (kind: string, value: string, tokens: number, ...names: string[]) => ({
  kind,
  text: value,
  tokens,
  logprobs: names.map(logprob),
});

it("rows of text alone are one text", () => {
  expect(arrivedIn([row("a", "a"), row("", "b"), row("c", "c")])).toEqual({
    tokens: [7, 7, 7],
    reasoningTokens: 0,
    forcedTokens: 0,
    utterances: [text("content", "ac", 3, "a", "b", "c")],
  });
  expect(arrivedIn([])).toEqual({
    tokens: [],
    reasoningTokens: 0,
    forcedTokens: 0,
    utterances: [],
  });
});

it("pieces of one kind beside each other are one, in whichever rows", () => {
  const arrived = arrivedIn([
    row([["reasoning", ""]], "x"),
    row([["reasoning", "Hm"]], "x"),
    row([
      ["reasoning", "."],
      ["content", "So"],
    ]),
    row(" it is", "it"),
    row([["call", "look"]]),
    row([["arguments", "{"]]),
    row(
      [
        ["arguments", "}"],
        ["callEnd", true],
        ["content", "!"],
      ],
      "!",
    ),
  ]);
  expect(arrived.reasoningTokens).toBe(3);
  expect(arrived.tokens).toHaveLength(7);
  expect(arrived.utterances).toEqual([
    text("reasoning", "Hm.", 3),
    text("content", "So it is", 1, "it"),
    { kind: "call", name: "look" },
    text("arguments", "{}", 2),
    { kind: "callEnd", complete: true },
    text("content", "!", 0),
  ]);
});

it("a forced token counts as one, and none of the reasoning that it ends", () => {
  const arrived = arrivedIn([
    row([["reasoning", "Hm"]]),
    row([
      ["reasoning", ""],
      ["forced", ""],
    ]),
    row([
      ["reasoning", "."],
      ["forced", ""],
    ]),
    row("So"),
  ]);
  expect(arrived).toMatchObject({ tokens: [7, 7, 7, 7], reasoningTokens: 1, forcedTokens: 2 });
  expect(arrived.utterances).toEqual([text("reasoning", "Hm.", 3), text("content", "So", 1)]);
});

it("what was held back took no token", () => {
  expect(utterancesOf("a")).toEqual([text("content", "a", 0)]);
  expect(utterancesOf("")).toEqual([text("content", "", 0)]);
  expect(
    utterancesOf([
      ["arguments", "}"],
      ["callEnd", false],
    ]),
  ).toEqual([text("arguments", "}", 0), { kind: "callEnd", complete: false }]);
  expect(utterancesOf([])).toEqual([]);
});
