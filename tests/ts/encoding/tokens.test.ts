import fc from "fast-check";
import { expect, it } from "vitest";
import { areTokens, packTokens, unpackTokens } from "../../../src-ts/encoding/tokens.js";

it("are little-endian u32", () => {
  expect([...packTokens([1, 0xffff_ffff])]).toEqual([1, 0, 0, 0, 255, 255, 255, 255]);
});

it("are read as they were written, wherever the bytes lie", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 0xffff_ffff })), fc.nat(9), (tokens, before) => {
      const bytes = Buffer.concat([Buffer.alloc(before), packTokens(tokens)]).subarray(before);
      expect([...unpackTokens(bytes)]).toEqual(tokens);
    }),
  );
});

it("are told from bytes that end in the midst of one", () => {
  expect([0, 1, 3, 4, 5, 8].map((length) => areTokens(new Uint8Array(length)))).toEqual([
    true,
    false,
    false,
    true,
    false,
    true,
  ]);
});
