/** The key file: its old form, its fields, and where a mistake is said to be. */
import { describe, expect, it } from "vitest";
import { hashOf, KeyMistake } from "../../../src-ts/keys/entry.js";
import { keysMax, parseKeys } from "../../../src-ts/keys/parse.js";

const entriesOf = (text: string) => parseKeys(text).map(({ entry }) => entry);
const hash = `sha256:${hashOf("alice's").toString("hex")}`;

function mistakeIn(text: string): { line: number; field: string | null; what: string } {
  try {
    parseKeys(text);
  } catch (error) {
    if (error instanceof KeyMistake) return error;
    throw error;
  }
  throw new Error("no mistake was found");
}

describe("one key a line", () => {
  it("is a key without limits, and comments are none", () => {
    const found = parseKeys("\uFEFF# team\r\none # first\n\n  two==\t\none\n");
    expect(found.map(({ secret, line }) => [secret, line])).toEqual([
      ["one", 2],
      ["two==", 4],
    ]);
    expect(found[0]!.entry).toEqual({
      name: expect.stringMatching(/^key-[0-9a-f]{8}$/),
      hash: hashOf("one"),
      limits: {},
    });
  });

  it("takes none for a mistake, so that nobody comes in without", () => {
    for (const text of ["", "\n", "# one\n"])
      expect(mistakeIn(text)).toMatchObject({ line: 0, what: expect.stringContaining("no key") });
  });

  it(`takes ${keysMax} at most`, () => {
    const lines = (count: number) => Array.from({ length: count }, (_, i) => `k${i}`).join("\n");
    expect(parseKeys(lines(keysMax))).toHaveLength(keysMax);
    expect(mistakeIn(lines(keysMax + 1))).toMatchObject({ line: keysMax + 1 });
  });
});

describe("fields", () => {
  it("stand after a key or its hash, in any order", () => {
    const [alice, bob] = parseKeys(
      `${hash}  expires=2030-01-31 name=alice requests-per-minute=60 tokens-per-minute=50k # hers
       bobs-key name=bob concurrency=4 tokens-per-day=1.5M tokens-per-month=1_000_000 tokens-total=2G priority=batch priority-max=normal models=a/b,c admin=metrics expires=2030-01-31T12:30Z`,
    );
    expect(alice).toMatchObject({ line: 1, secret: undefined });
    expect(alice!.entry).toEqual({
      name: "alice",
      hash: hashOf("alice's"),
      limits: { requestsPerMinute: 60, tokensPerMinute: 50_000 },
      expiresAt: Date.UTC(2030, 0, 31),
    });
    expect(bob!.entry).toMatchObject({
      name: "bob",
      limits: {
        concurrency: 4,
        tokensPerDay: 1_500_000,
        tokensPerMonth: 1_000_000,
        tokensTotal: 2e9,
      },
      priority: "batch",
      priorityMax: "normal",
      models: ["a/b", "c"],
      admin: "metrics",
      expiresAt: Date.UTC(2030, 0, 31, 12, 30),
    });
  });

  it.each([
    ["k rate=60", "rate", "there is no such field; there are name"],
    ["k constructor=1", "constructor", "no such field"],
    ["k requests-per-minute=0", "requests-per-minute", "from 1 to 1,000,000"],
    ["k requests-per-minute=1.5", "requests-per-minute", undefined],
    ["k requests-per-minute=-1", "requests-per-minute", "must be"],
    ["k requests-per-minute=", "requests-per-minute", "must be"],
    ["k tokens-per-day=lots", "tokens-per-day", "such as 60, 50k or 2M"],
    ["k tokens-per-day=1e9", "tokens-per-day", "must be"],
    ["k concurrency=1 concurrency=2", "concurrency", "twice"],
    ["k name=", "name", "1 to 64"],
    ["k name=a/b", "name", "1 to 64"],
    [`k name=${"a".repeat(65)}`, "name", "1 to 64"],
    ["k priority=high", "priority", "interactive, normal, batch"],
    ["k models=a,,b", "models", "1 to 64 ids"],
    ["k expires=2030-02-31", "expires", "a day such as"],
    ["k expires=tomorrow", "expires", "a day such as"],
    ["k expires=2030-01-31T25:00Z", "expires", "a day such as"],
    ["k admin=true", "admin", "one of yes, metrics, no"],
    ["name=alice k", "name", "comes before its fields"],
    ["sha256:abc", "key", "64 hexadecimal"],
    ["clé", "key", "printable"],
  ])("%s is a mistake", (line, field, what) => {
    const text = `first\n# comment\n${line}\n`;
    if (what === undefined) return expect(entriesOf(text)[1]!.limits.requestsPerMinute).toBe(2);
    expect(mistakeIn(text)).toMatchObject({ line: 3, field, what: expect.stringContaining(what) });
  });

  it("has a name and a key once", () => {
    expect(mistakeIn("a name=x\nb name=x")).toMatchObject({ line: 2, field: "name" });
    expect(mistakeIn("a name=x\na name=y")).toMatchObject({ line: 2, field: "key" });
    expect(mistakeIn(`${hash} name=x\nalice's name=y`)).toMatchObject({ line: 2, field: "key" });
  });

  it("repeats nothing that may be a part of a key", () => {
    for (const line of ["top secret", "top secret=1", "k =secret", "sécret"]) {
      const { what, field } = mistakeIn(line);
      expect(what).not.toContain("cret");
      if (line !== "top secret=1") expect(field ?? "").not.toContain("cret");
    }
  });
});
