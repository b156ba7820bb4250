import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { Keys } from "../../../../src-ts/server/access/keys.js";

describe("keys", () => {
  it("are told apart by what they are, never by how long they take", () => {
    const keys = new Keys(["one", "two"]);
    const owner = (header: string) => keys.identify(header, "").owner;
    expect(owner("Bearer one")).toBe(owner("Bearer  one"));
    expect(owner("Bearer one")).not.toBe(owner("Bearer two"));
    expect(owner("Bearer one")).not.toContain("one");
    expect(inspect(keys, { depth: 9 })).not.toMatch(/'(one|two)'/);
    for (const header of ["Bearer three", "Bearer on", "Bearer onee", "Bearer ", ""])
      expect(() => owner(header)).toThrow();
  });
});
