import { expect, it } from "vitest";
import { blockLru } from "../../scripts/lib/block-lru.mjs";

it("has what was used last, and of the rest what was used least long ago", () => {
  const { ask } = blockLru(5);
  expect(ask(1, 2)).toBe(0);
  expect(ask(2, 2)).toBe(0);
  expect(ask(1, 2)).toBe(2);
  // The last block of the second goes, not the first one.
  expect(ask(3, 2)).toBe(0);
  expect(ask(2, 2)).toBe(1);
});

it("knows a conversation that has grown or is read in part", () => {
  const { ask } = blockLru(10);
  ask(1, 3);
  expect(ask(1, 5)).toBe(3);
  expect(ask(1, 2)).toBe(2);
  expect(ask(1, 5)).toBe(5);
});

it("keeps the beginning of what is too long for it", () => {
  const { ask } = blockLru(4);
  ask(1, 6);
  expect(ask(1, 6)).toBe(4);
});
