import { describe, expect, it } from "vitest";
import { z } from "zod";
import { type Format, parsedOutput, wireFormat } from "../../../src-ts/client/formats.js";
import type { ResponseObject } from "../../../src-ts/client/index.js";

const answer = z.object({ n: z.int() });
const plain = { type: "json_schema", name: "plain", schema: { type: "object" } } as const;

function response(status: string, ...types: string[]): ResponseObject {
  return { status, output: types.map((type) => ({ type })) } as never;
}

const parse = (format: Format, text: string, of = response("completed", "reasoning", "message")) =>
  parsedOutput(format, text, of);

describe("wireFormat", () => {
  it("makes a JSON schema with a name of a schema of Zod", () => {
    const schema = {
      type: "object",
      properties: { n: expect.objectContaining({ type: "integer" }) },
      required: ["n"],
      additionalProperties: false,
    };
    expect(wireFormat(answer)).toEqual({ type: "json_schema", name: "answer", schema });
    const named = { type: "json_schema", name: "mine", strict: true, schema: answer } as const;
    expect(wireFormat(named)).toEqual({ ...named, schema });
  });

  it("leaves all else as it is", () => {
    for (const format of [
      undefined,
      null,
      { type: "text" },
      { type: "json_object" },
      plain,
    ] as const)
      expect(wireFormat(format)).toEqual(format);
  });

  it("names the field that has no JSON form", () => {
    const bad = z.object({ a: z.object({ b: z.date() }) });
    const param = "text.format.a.b";
    expect(() => wireFormat(bad)).toThrow(expect.objectContaining({ param }));
    const named = { type: "json_schema", name: "mine", schema: bad } as const;
    expect(() => wireFormat(named)).toThrow(
      expect.objectContaining({ param: "text.format.schema.a.b" }),
    );
  });
});

describe("parsedOutput", () => {
  it("is the checked value of a whole answer", async () => {
    expect(await parse(answer, '{"n":1}')).toEqual({ n: 1 });
    const doubled = z.object({ n: z.int().transform((n) => 2 * n) });
    expect(await parse(doubled, '{"n":1}')).toEqual({ n: 2 });
    expect(await parse({ ...plain, schema: doubled }, '{"n":2}')).toEqual({ n: 4 });
    expect(await parse(plain, '{"x":1}')).toEqual({ x: 1 });
    expect(await parse({ type: "json_object" }, "{}")).toEqual({});
  });

  it("is null where no JSON was asked for, or there is no whole answer", async () => {
    for (const format of [undefined, null, { type: "text" }] as const)
      expect(await parse(format, '{"n":1}')).toBeNull();
    for (const status of ["incomplete", "cancelled"])
      expect(await parse(answer, '{"n":', response(status, "message"))).toBeNull();
    expect(await parse(answer, "", response("completed", "function_call"))).toBeNull();
  });

  it("rejects an answer that is not what was asked for", async () => {
    const even = z.object({ n: z.int().refine((n) => n % 2 === 0, "must be even") });
    await expect(parse(even, '{"n":1}')).rejects.toMatchObject({
      name: "InvalidOutputError",
      code: "invalid_output",
      text: '{"n":1}',
      message: "The answer is not what its format says: n: must be even",
      response: { status: "completed" },
    });
    await expect(parse(plain, '{"n":')).rejects.toMatchObject({ code: "invalid_output" });
  });
});
