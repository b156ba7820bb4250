import { describe, expect, it } from "vitest";
import { sseParser } from "../../../src-ts/bench/sse.js";

function parse(chunks: Iterable<string>): string[] {
  const data: string[] = [];
  const take = sseParser((event) => data.push(event));
  for (const chunk of chunks) take(chunk);
  return data;
}

const stream =
  ': keep-alive\n\nevent: a\ndata: {"x":1}\n\ndata:two\r\nid: 3\r\n\r\ndata: first\ndata: second\n\ndata: [DONE]\n\n';
const expected = ['{"x":1}', "two", "first\nsecond", "[DONE]"];

describe("sseParser", () => {
  it("takes events apart, whatever the line ends, without comments and other fields", () => {
    expect(parse([stream])).toEqual(expected);
  });

  it("gives the same one character at a time, and cut anywhere", () => {
    expect(parse(stream)).toEqual(expected);
    for (let cut = 0; cut <= stream.length; cut += 1) {
      expect(parse([stream.slice(0, cut), stream.slice(cut)])).toEqual(expected);
    }
  });

  it("holds back an event that is not complete", () => {
    expect(parse(["data: x\n"])).toEqual([]);
  });
});
