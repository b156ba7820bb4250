import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { fixedKeys } from "../../../../src-ts/keys/entry.js";
import { Keys } from "../../../../src-ts/server/access/keys.js";

describe("keys", () => {
  it("are told apart by what they are, never by how long they take", () => {
    const keys = new Keys(fixedKeys(["one", "two"]));
    const owner = (header: string) => keys.identify({ authorization: header }, "").owner;
    expect(owner("Bearer one")).toBe(owner("Bearer  one"));
    expect(owner("Bearer one")).not.toBe(owner("Bearer two"));
    expect(owner("Bearer one")).not.toContain("one");
    expect(inspect(keys, { depth: 9 })).not.toMatch(/'(one|two)'/);
    for (const header of ["Bearer three", "Bearer on", "Bearer onee", "Bearer ", ""])
      expect(() => owner(header)).toThrow();
  });

  it("come in x-api-key too, as Anthropic's clients send them", () => {
    const keys = new Keys(fixedKeys(["one"]));
    const owner = (headers: Record<string, string>) => keys.identify(headers, "").owner;
    const known = owner({ authorization: "Bearer one" });
    expect(owner({ "x-api-key": "one" })).toBe(known);
    // Some clients send both, and an empty one of the two.
    expect(owner({ authorization: "Bearer", "x-api-key": " one" })).toBe(known);
    expect(owner({ authorization: "Bearer one", "x-api-key": "two" })).toBe(known);
    for (const key of ["two", "", "one one", "Bearer one"])
      expect(() => owner({ "x-api-key": key })).toThrow();
  });
});
