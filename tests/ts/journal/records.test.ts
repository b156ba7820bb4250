import { describe, expect, it } from "vitest";
import { encodeRecord } from "../../../src-ts/journal/records.js";
import { acceptanceOf, decoded } from "./support.js";

/** Acceptances as they were written when a seed had 32 bits, by their seeds. */
const old: [bigint, string][] = [
  [
    7n,
    "lQGKomlkqHJlc3Bfb2xkpW1vZGVsoW2lb3duZXKhb6ljcmVhdGVkQXTLQni8/laAAACpbWF4VG9rZW5zCqhzYW1wbGluZ4urdGVtcGVyYXR1cmXLP+AAAAAAAACkdG9wUAGkdG9wSwCkbWluUACxcmVwZXRpdGlvblBlbmFsdHkBr3ByZXNlbmNlUGVuYWx0eQCwZnJlcXVlbmN5UGVuYWx0eQCpbG9naXRCaWFzkZIDy7/4AAAAAAAApHNlZWQHpHN0b3CRoS6obG9ncHJvYnMBrHByb21wdFRva2Vuc8QMAQAAAAIAAABwEQEAqGNsaWVudElkoWOocHJpb3JpdHmmbm9ybWFspGNvc3SDrHByb21wdFRva2VucwOpbmV3VG9rZW5zCqdrdkJ5dGVzzQPokYGka2luZKdjcmVhdGVkxAQFAAAAAA==",
  ],
  [
    4_294_967_295n,
    "lQGKomlkqHJlc3Bfb2xkpW1vZGVsoW2lb3duZXKhb6ljcmVhdGVkQXTLQni8/laAAACpbWF4VG9rZW5zCqhzYW1wbGluZ4urdGVtcGVyYXR1cmXLP+AAAAAAAACkdG9wUAGkdG9wSwCkbWluUACxcmVwZXRpdGlvblBlbmFsdHkBr3ByZXNlbmNlUGVuYWx0eQCwZnJlcXVlbmN5UGVuYWx0eQCpbG9naXRCaWFzkZIDy7/4AAAAAAAApHNlZWTO/////6RzdG9wkaEuqGxvZ3Byb2JzAaxwcm9tcHRUb2tlbnPEDAEAAAACAAAAcBEBAKhjbGllbnRJZKFjqHByaW9yaXR5pm5vcm1hbKRjb3N0g6xwcm9tcHRUb2tlbnMDqW5ld1Rva2Vucwqna3ZCeXRlc80D6JGBpGtpbmSnY3JlYXRlZMQEBQAAAAA=",
  ],
];

function seedIn(payload: Buffer): bigint | undefined {
  const [record] = decoded(payload);
  return record?.kind === "whole" ? record.response.acceptance.sampling.seed : undefined;
}

describe("the seed of an acceptance", () => {
  it.each(old)("%d of an older version is the same seed", (seed, payload) => {
    expect(seedIn(Buffer.from(payload, "base64"))).toBe(seed);
  });

  it.each([0n, 1n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n])(
    "%d comes back with every bit",
    (seed) => {
      const acceptance = acceptanceOf("resp_1");
      const response = {
        acceptance: { ...acceptance, sampling: { ...acceptance.sampling, seed } },
        entries: [],
        tokens: [],
        cachedTokens: 0,
        reasoningTokens: 0,
      };
      expect(seedIn(encodeRecord({ kind: "whole", response }))).toBe(seed);
    },
  );
});
