import { describe, expect, it } from "vitest";
import { z } from "zod";
import { argumentsOf, type ToolDefinition, tool, wireTools } from "../../../src-ts/client/tools.js";

const cities = z.object({ city: z.string() });

function refusal(tools: unknown): unknown {
  try {
    wireTools(tools as ToolDefinition[]);
  } catch (error) {
    return error;
  }
  throw new Error("They were taken");
}

describe("on their way to the server", () => {
  it("functions have a type and a JSON schema, and leave behind what stays here", () => {
    const execute = () => "";
    const own = { name: "a", description: "A", strict: true };
    expect(wireTools([tool({ ...own, parameters: cities, execute, timeoutMs: 5 })])).toEqual([
      {
        ...own,
        type: "function",
        parameters: {
          type: "object",
          properties: { city: { type: "string" } },
          required: ["city"],
          additionalProperties: false,
        },
      },
    ]);
    expect(wireTools([{ name: "b" }, { name: "c", parameters: null }])).toEqual([
      { type: "function", name: "b" },
      { type: "function", name: "c", parameters: null },
    ]);
  });

  it("custom tools and those of hosts stay as they are, namespaces have theirs converted", () => {
    const grammar = { type: "grammar", syntax: "regex", definition: "a+" } as const;
    const custom = { type: "custom", name: "c", format: grammar } as const;
    const hosted = { type: "web_search", search_context_size: "low" };
    const inside = { name: "a", parameters: { type: "object" } };
    const space = { type: "namespace", name: "n", tools: [inside, custom] } as const;
    expect(wireTools([custom, hosted, space])).toEqual([
      custom,
      hosted,
      { ...space, tools: [{ ...inside, type: "function" }, custom] },
    ]);
  });
});

describe("what is wrong with one is said before it is sent", () => {
  it.each<[string, unknown[], string, string]>([
    ["no name", [{ parameters: cities }], "tools[0].name", "needs a name"],
    ["an empty name", [{ name: "a" }, { name: "" }], "tools[1].name", "needs a name"],
    ["a name that is no text", [{ name: 1 }], "tools[0].name", "needs a name"],
    ["a custom tool without", [{ type: "custom" }], "tools[0].name", "needs a name"],
    ["a name twice", [{ name: "a" }, { name: "b" }, { name: "a" }], "tools[2].name", "named a"],
    [
      "a name twice, of two kinds",
      [{ name: "a" }, { type: "custom", name: "a" }],
      "tools[1].name",
      "named a",
    ],
    [
      "a name twice in a namespace",
      [{ type: "namespace", name: "n", tools: [{ name: "a" }, { name: "a" }] }],
      "tools[0].tools[1].name",
      "named a",
    ],
    [
      "a date",
      [{ name: "clock", parameters: z.object({ since: z.date() }) }],
      "tools[0].parameters.since",
      "parameters of clock (tools[0].parameters), field since: Date",
    ],
    [
      "a date in a namespace",
      [
        {
          type: "namespace",
          name: "n",
          tools: [{ name: "a", parameters: z.object({ d: z.date() }) }],
        },
      ],
      "tools[0].tools[0].parameters.d",
      "field d",
    ],
    [
      "parameters of a text",
      [{ name: "a", parameters: z.string() }],
      "tools[0].parameters",
      "not string",
    ],
    [
      "parameters of a list",
      [{ name: "a", parameters: { type: "array" } }],
      "tools[0].parameters",
      "not array",
    ],
    [
      "parameters that are none",
      [{ name: "a", parameters: "x" }],
      "tools[0].parameters",
      "must be an object",
    ],
  ])("%s", (_, tools, param, words) => {
    expect(refusal(tools)).toMatchObject({
      name: "DefinitionError",
      code: "invalid_definition",
      param,
      message: expect.stringContaining(words),
    });
  });

  it("a name may be there in two namespaces", () => {
    const space = (name: string) => ({ type: "namespace", name, tools: [{ name: "a" }] }) as const;
    expect(wireTools([space("n"), space("m"), { name: "a" }])).toHaveLength(3);
  });
});

describe("argumentsOf", () => {
  const call = (text: string) => ({ call_id: "call_1", arguments: text });
  const days = { name: "days", parameters: z.object({ n: z.string().transform(Number) }) };

  it("gives what the schema lets through", async () => {
    const { n } = await argumentsOf(days, call('{"n":"3"}'));
    expect(n.toFixed(1)).toBe("3.0");
  });

  it("waits for schemas that take their time", async () => {
    const slow = { name: "a", parameters: z.object({ a: z.string().refine(async () => false) }) };
    await expect(argumentsOf(slow, call('{"a":"x"}'))).rejects.toMatchObject({
      code: "invalid_arguments",
    });
  });

  it("checks of a JSON schema that it is an object", async () => {
    const plain = { name: "a", parameters: { type: "object" } };
    expect(await argumentsOf(plain, call('{"a":1}'))).toEqual({ a: 1 });
    expect(await argumentsOf({ name: "a" }, call(""))).toEqual({});
    for (const text of ["[]", "1", "null", '"x"', "{", '{"a":1']) {
      await expect(argumentsOf(plain, call(text))).rejects.toMatchObject({
        name: "InvalidArgumentsError",
        toolName: "a",
        callId: "call_1",
      });
    }
  });

  it("says which fields are wrong", async () => {
    const nested = { name: "a", parameters: z.object({ list: z.array(z.object({ n: z.int() })) }) };
    await expect(argumentsOf(nested, call('{"list":[{"n":1},{"n":"x"}]}'))).rejects.toMatchObject({
      message: expect.stringMatching(/^The arguments for a are not valid: list\.1\.n: /),
    });
  });
});
