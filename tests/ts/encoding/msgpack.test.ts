import { expect, it } from "vitest";
import { pack, unpackerOf } from "../../../src-ts/encoding/msgpack.js";

it("writes maps with names and no field that is undefined", () => {
  expect(pack({ a: 1, b: undefined }).toString("hex")).toBe("81a16101");
});

it("reads integers of 64 bits exactly where they are asked for as bigints", () => {
  const bytes = pack({ seed: 2n ** 64n - 1n });
  expect(unpackerOf("bigint").unpack(bytes)).toEqual({ seed: 2n ** 64n - 1n });
  expect(unpackerOf("number").unpack(bytes)).toEqual({ seed: 2 ** 64 });
});
