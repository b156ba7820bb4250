import { expect, it } from "vitest";
import { crc32 } from "../../../src-ts/encoding/crc32.js";

it("is the CRC-32 of zip, also in parts", () => {
  const text = Buffer.from("123456789");
  expect(crc32(text)).toBe(0xcbf4_3926);
  expect(crc32(text.subarray(4), crc32(text.subarray(0, 4)))).toBe(0xcbf4_3926);
  expect(crc32(Buffer.alloc(0))).toBe(0);
});
