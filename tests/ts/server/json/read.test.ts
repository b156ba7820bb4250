import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isServingError, type ServingError } from "../../../../src-ts/errors.js";
import { membersOf } from "../../../../src-ts/server/json/members.js";
import { parseJson, readJson } from "../../../../src-ts/server/json/read.js";
import { scan } from "../../../../src-ts/server/json/scan.js";

const wide = { depthMax: 64, valuesMax: 32_768 };

function refusalOf(text: string | Buffer, limits = wide): ServingError | undefined {
  try {
    parseJson(Buffer.from(text as string), limits);
    return undefined;
  } catch (error) {
    if (isServingError(error)) return error;
    throw error;
  }
}

describe("JSON from outside", () => {
  const narrow = { depthMax: 3, valuesMax: 8 };
  const messageOf = (text: string) => refusalOf(text, narrow)?.message;

  it("may be as deep and as long as allowed, and no more", () => {
    expect(messageOf("[[[1]]]")).toBeUndefined();
    expect(messageOf('[[[{"a":1}]]]')).toContain("3 levels");
    expect(messageOf("[1,2,3,4,5,6,7]")).toBeUndefined();
    expect(messageOf("[1,2,3,4,5,6,7,8]")).toContain("8 values");
    expect(messageOf("[{},{},{},{},{}]")).toContain("8 values");
    expect(messageOf('["[[[[,,,,,,,,,,", "\\"[[[[\\\\"]')).toBeUndefined();
  });

  it("is not looked at beyond the limit", () => {
    expect(() => scan(Buffer.from("[".repeat(1e6)), narrow)).toThrow("3 levels");
  });

  it("may begin with a byte order mark, one, and of UTF-8", () => {
    expect(parseJson(Buffer.from('\ufeff{"a":1}'), wide)).toEqual({ a: 1 });
    expect(parseJson(Buffer.from('{"a":"\ufeff"}'), wide)).toEqual({ a: "\ufeff" });
    for (const text of ["\ufeff\ufeff{}", "{}\ufeff", "\ufeff"])
      expect(refusalOf(text), text).toMatchObject({ status: 400, code: "invalid_json" });
    const utf16 = Buffer.from('\ufeff{"a":1}', "utf16le");
    expect(refusalOf(utf16)).toMatchObject({ status: 400, code: "invalid_json" });
  });
});

describe("half of a surrogate pair", () => {
  // The texts are as written on the wire: `\\u` is an escape of JSON.
  const lone: [string, string | null][] = [
    ['{"input":"\\ud83d"}', "input"],
    ['{"input":"\\uD83D tail"}', "input"],
    ['{"input":"\\udc00"}', "input"],
    ['{"input":"\\uDFFF\\uD800"}', "input"],
    ['{"input":"\\ud83d\\ud83d\\ude00"}', "input"],
    ['{"input":"\\ud83d\\u0041"}', "input"],
    ['{"input":"\\ud83d\\n\\ude00"}', "input"],
    ['{"input":"\\ud83d\\\\ude00"}', "input"],
    ['{"input":"\\ud83d\u{1f600}"}', "input"],
    ['{"input":"\\ud83d\\ude00\\ude00"}', "input"],
    ['{"input":"x","stop":["a","\\ud800"]}', "stop"],
    ['{"messages":[{"role":"user","name":"\\udc00"}]}', "messages"],
    ['{"metadata":{"\\ud800":"x"}}', "metadata"],
    ['{"a":{"b":[[{"c":{"d":"\\udfff"}}]]},"b":1}', "a"],
    ['{"b":1, "a" : [1, "\\\\", "\\"", "\\udbff"] }', "a"],
    ['{"in\\u0070ut":"\\ud83d"}', "input"],
    ['{"a":"\\ud83d","a":"fine"}', "a"],
    ['{"\\ud800":1}', "?"],
    ['{"unknown field":"\\ud800"}', "unknown field"],
    ['["\\ud800"]', null],
    ['"\\ud800"', null],
  ];
  it.each(lone)("%s is refused: %s", (text, param) => {
    const refusal = refusalOf(text);
    expect(refusal).toMatchObject({ status: 400, code: "invalid_unicode", param });
    if (param !== null) expect(refusal!.message).toContain(param);
  });

  const whole = [
    '{"input":"\\ud83d\\ude00"}',
    '{"input":"\\uD83D\\uDE00\\ud83d\\uDE00"}',
    '{"\\ud83d\\ude00":1}',
    '{"input":"\\\\ud83d"}',
    '{"input":"\\\\\\\\ud83d \\\\udc00"}',
    '{"input":"\\ud55c\\uae00 \\ud7ff\\ue000 \\ufffe\\uffff"}',
    '{"input":"\u{1f600}\\\\"}',
    '{"input":"ud83d \\"ud83d"}',
  ];
  it.each(whole)("%s is none", (text) => {
    expect(parseJson(Buffer.from(text), wide)).toEqual(JSON.parse(text));
  });

  it("is found wherever it is, and nothing else is taken for it", () => {
    const unit = fc.oneof(
      fc.constantFrom("\ud83d", "\ude00", "\ud800", "\udfff", "\u{1f600}", "\\", '"', "u", "d83d"),
      fc.string({ unit: "binary", maxLength: 2 }),
    );
    const text = fc.array(unit, { maxLength: 6 }).map((units) => units.join(""));
    // Half a pair as JSON.stringify writes it; whole ones and other units perhaps as escapes too.
    const escaped = (string: string) =>
      JSON.stringify(string).replace(/[\u007f-\uffff]/g, (unit) =>
        string.length % 2 === 0 ? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}` : unit,
      );
    const member = fc.tuple(fc.constantFrom("a", "b", "c"), text, fc.boolean());
    fc.assert(
      fc.property(fc.uniqueArray(member, { selector: ([name]) => name }), (members) => {
        const inner = members.map(([name, string, isNested]) => {
          const value = escaped(string);
          return `"${name}" :${isNested ? `[1,{${value}: ${value}},2]` : value}`;
        });
        const first = members.find(([, string]) => !string.isWellFormed());
        const refusal = refusalOf(`{${inner.join(",")}}`);
        expect(refusal?.param).toBe(first?.[0]);
      }),
      { numRuns: 2_000 },
    );
  });

  it("that is no JSON either is invalid JSON, and so is half of it as raw bytes", () => {
    expect(refusalOf('{"input":"\\ud83d"')).toMatchObject({ code: "invalid_json" });
    expect(refusalOf('{"input":"\\ud83"}')).toMatchObject({ code: "invalid_json" });
    const raw = Buffer.concat([Buffer.from('{"a":"'), Buffer.from("eda080", "hex")]);
    expect(refusalOf(raw)).toMatchObject({ code: "invalid_json" });
  });

  it("leaves readable what an answer repeats", () => {
    const { value, fault } = readJson(Buffer.from('{"event_id":"e","input":"\\ud800"}'), wide);
    expect(value).toMatchObject({ event_id: "e" });
    expect(fault).toMatchObject({ param: "input" });
  });
});

describe("the members of an object", () => {
  it("are those of the outermost, in their order", () => {
    const text = Buffer.from('{ "a" : {"x":[1,{"y":2}]} ,"b\\n":"},{\\"", "a":[] }');
    const shown = [...membersOf(text)].map(
      ({ name, start, valueStart, end }) =>
        [name, text.toString("utf8", start, end), text.toString("utf8", valueStart, end)] as const,
    );
    expect(shown).toEqual([
      ["a", '"a" : {"x":[1,{"y":2}]} ', ' {"x":[1,{"y":2}]} '],
      ["b\n", '"b\\n":"},{\\""', '"},{\\""'],
      ["a", '"a":[] ', "[] "],
    ]);
  });

  it("are none where there is no object", () => {
    for (const text of ["{}", "[]", '["a",{"b":1}]', '"a"', "5", "null"])
      expect([...membersOf(Buffer.from(text))]).toEqual([]);
  });
});
