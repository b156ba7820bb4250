import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { notJson } from "../../src-ts/json-fault.js";

/** Of a text that is no JSON. Fails for one that is. */
function faultOf(text: string): string {
  try {
    JSON.parse(text);
  } catch (error) {
    return notJson("The text", text, error);
  }
  throw new Error(`This is JSON: ${text}`);
}

describe("what is wrong with a text that is no JSON", () => {
  const cases: [string, string][] = [
    ['{"a":}', "line 1, column 6: a value is expected, not “}”"],
    ['{"a":1,}', "line 1, column 8: a name in double quotes is expected, not “}”; the last one"],
    ["[1,2,]", "line 1, column 6: a value is expected, not “]”; the last one has no comma"],
    ['{"a":1 "b":2}', "line 1, column 8: a comma or the end of this list or object is expected"],
    ['{\n  "a": 1\n  "b": 2\n}', "line 3, column 3: a comma"],
    ['{"a" 1}', "line 1, column 6: a colon is expected, not a number"],
    ["{a:1}", "line 1, column 2: JSON has no “a” here; names and texts stand in double quotes"],
    ["{'a':1}", "line 1, column 2: JSON has no “'a'” here"],
    ['{"a":NaN}', "line 1, column 6: JSON has no “NaN” here"],
    ['{"a":1', "line 1, column 7: a comma or } is expected, not the end of the text"],
    ["[1", "line 1, column 3: a comma or ] is expected, not the end of the text"],
    ["{}{}", "line 1, column 3: nothing more is expected behind the value, not “{”"],
    ['{"a":"b', "line 1, column 6: the string that begins here does not end"],
    ['{"a":"b\nc"}', "line 1, column 6: the string that begins here does not end, or holds a line"],
    ['{"a":"\\x"}', "line 1, column 6: the string that begins here has a backslash"],
    ['{"a":"\\u12"}', "line 1, column 6: the string that begins here has a \\u without"],
    ['{"a":"\u0001"}', "line 1, column 6: the string that begins here has a control character"],
    ["{}// note", "line 1, column 3: JSON has no comments"],
    ['{"a":1.}', "line 1, column 6: a number ends too early"],
    [" ", "line 1, column 2: a value is expected, not the end of the text"],
  ];
  it.each(cases)("%j: %s", (text, said) => {
    expect(faultOf(text)).toContain(`The text is not valid JSON: ${said}`);
  });

  it("repeats nothing of a string, and no word that may be a key or a prompt", () => {
    const secret = "sk-4Rn2mZ0aaaabbbbcccc";
    for (const text of [
      `{"input":"${secret}`,
      `{"api_key":${secret}}`,
      `{"api_key":'${secret}'}`,
      `{"a":1 "${secret}":2}`,
      `{"a":1 ${"9".repeat(40)}}`,
      `{"a":${"averylongword".repeat(3)}}`,
    ]) {
      const said = faultOf(text);
      expect(said, text).toMatch(/line 1, column \d+: /);
      expect(said, text).not.toMatch(/4Rn2|9999|averylong/);
    }
  });

  it("is found in whatever is cut short or mixed up", () => {
    const mistaken = fc
      .tuple(fc.json(), fc.nat(), fc.constantFrom("", ",", "}", "]", ":", "x", '"', "\\", "1"))
      .map(([text, at, put]) => {
        const cut = at % (text.length + 1);
        return put === "" ? text.slice(0, cut) : text.slice(0, cut) + put + text.slice(cut);
      })
      .filter((text) => {
        try {
          JSON.parse(text);
          return false;
        } catch {
          return true;
        }
      });
    fc.assert(
      fc.property(mistaken, (text) => {
        const [, line, column] = /: line (\d+), column (\d+): ./.exec(faultOf(text)) ?? [];
        expect(Number(line)).toBeLessThanOrEqual(text.split("\n").length);
        expect(Number(column)).toBeLessThanOrEqual(text.length + 1);
      }),
      { numRuns: 1_000 },
    );
  });

  it("is V8's to find in a text so long that a search would hold others up", () => {
    const long = "x".repeat(2 ** 20);
    expect(faultOf(`{"a":"${long}`)).toBe("The text is not valid JSON: it ends too early.");
    expect(faultOf(`{"a":"${long}",\n"b":"\\x"}`)).toMatch(
      /^The text is not valid JSON(: line 2, column \d+)?\.$/,
    );
  });
});
