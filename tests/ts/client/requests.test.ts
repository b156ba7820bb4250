import { describe, expect, it } from "vitest";
import { z } from "zod";
import type { ResponseObject } from "../../../src-ts/client/index.js";
import { type ResponseRequest, wireBody } from "../../../src-ts/client/requests.js";
import { begin, called, end, outputOf } from "./support/answers.js";
import { turn, VirtualWorld } from "./support/virtual.js";

const schema = {
  type: "object",
  properties: { sky: { type: "string" } },
  required: ["sky"],
  additionalProperties: false,
};
const sky = z.object({ sky: z.string() });

describe("wireBody", () => {
  it("sends what is there, with JSON schemas, and nothing else", () => {
    const body = {
      input: "Hi",
      tools: [{ name: "a", parameters: sky }],
      text: { format: sky, verbosity: "low" },
      reasoning: { effort: "none" },
      generate: false,
    } as const;
    expect(wireBody(body)).toEqual({
      input: "Hi",
      tools: [{ type: "function", name: "a", parameters: schema }],
      text: { format: { type: "json_schema", name: "answer", schema }, verbosity: "low" },
      reasoning: { effort: "none" },
      generate: false,
    });
    expect(Object.keys(wireBody({ input: "Hi" }))).toEqual(["input"]);
    const empty: ResponseRequest = { input: "Hi", tools: null, text: null };
    expect(wireBody(empty)).toEqual(empty);
    expect(wireBody({ input: "Hi", text: { verbosity: "low" } })).toEqual({
      input: "Hi",
      text: { verbosity: "low" },
    });
  });
});

describe("a response", () => {
  it("is typed by what was asked for", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const stream = client.respond({
      input: "Hi",
      tools: [{ name: "weather", parameters: z.object({ city: z.string() }) }],
      text: { format: sky },
    });
    const text = '{"sky":"grey"}';
    end(await begin(world, 1), { text });
    const final = await stream.final();
    const value: string | undefined = final.parsed?.sky;
    // @ts-expect-error: the schema has no such field.
    expect(final.parsed?.cloud).toBeUndefined();
    expect(value).toBe("grey");
    const untyped = client.respond({ input: "Hi" });
    end(await begin(world, 2), { text });
    const nothing: null = (await untyped.final()).parsed;
    expect(nothing).toBeNull();
  });

  it("has its complete calls and what was thought beside its text", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const stream = client.respond({ input: "Hi", text: { format: sky } });
    const script = await begin(world, 1);
    const [call, cut] = outputOf({ calls: [called("1", "a"), called("2", "b")] });
    const thought = { type: "reasoning", content: [{ type: "reasoning_text", text: "Hm" }] };
    const output = [thought, call, { ...cut, status: "incomplete" }] as ResponseObject["output"];
    const response = { id: "resp_1", status: "completed", error: null, output, usage: null };
    script.send("response.completed", { response });
    const final = await stream.final();
    expect(final).toMatchObject({ text: "", reasoning: "Hm", parsed: null, usage: null });
    expect(final.calls).toEqual([call]);
  });

  it("that can't be asked for is refused at once, and nothing is sent", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const dated = z.object({ d: z.date() });
    expect(() => client.respond({ input: "x", text: { format: dated } })).toThrow(
      expect.objectContaining({ name: "DefinitionError", param: "text.format.d" }),
    );
    expect(() => client.respond({ input: "x", tools: [{ name: "" }] })).toThrow(
      expect.objectContaining({ param: "tools[0].name" }),
    );
    await turn();
    expect(world.socket.sent).toEqual([]);
  });
});
