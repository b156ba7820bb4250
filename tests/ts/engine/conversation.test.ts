import { describe, expect, it } from "vitest";
import { allItems, conversation, textChars } from "../../../src-ts/engine/conversation.js";

describe("a conversation", () => {
  it("has all items in their order, and weighs all of them", () => {
    const first = conversation([{ text: "one" }], undefined);
    const second = conversation([{ text: "two" }, { text: "three" }], first);
    expect(allItems(second)).toEqual([{ text: "one" }, { text: "two" }, { text: "three" }]);
    expect([first.count, second.count]).toEqual([1, 3]);
    expect([first.chars, second.chars]).toEqual([3, 11]);
  });

  it("shares what came before with every other that goes on from it", () => {
    const before = conversation(["a"], undefined);
    const [one, two] = [conversation(["b"], before), conversation(["c"], before)];
    expect(one.before).toBe(two.before);
    expect([allItems(one), allItems(two)]).toEqual([
      ["a", "b"],
      ["a", "c"],
    ]);
  });

  it("of 10,000 turns is walked without going deep", () => {
    let last = conversation([0], undefined);
    for (let turn = 1; turn < 10_000; turn++) last = conversation([turn], last);
    expect(allItems(last)).toEqual(Array.from({ length: 10_000 }, (_, turn) => turn));
  });

  it("may be none", () => {
    expect(allItems(undefined)).toEqual([]);
    expect(allItems(conversation([], undefined))).toEqual([]);
  });
});

it.each<[unknown, number]>([
  ["abc", 3],
  [["a", ["b", { c: "de" }]], 4],
  [{ a: null, b: 1, c: true, d: undefined }, 0],
])("the texts of %j have %d characters", (value, chars) => {
  expect(textChars(value)).toBe(chars);
});
