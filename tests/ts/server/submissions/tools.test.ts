import { describe, expect, it } from "vitest";
import { ChatBody, ResponseBody } from "../../../../src-ts/protocol/index.js";
import {
  chatTools,
  repeatedChoice,
  repeatedTools,
  responseTools,
} from "../../../../src-ts/server/submissions/tools.js";

const messages = [{ role: "user", content: "Hi" }];
const chat = (fields: object) => chatTools(ChatBody.parse({ messages, ...fields })).offer;
const responses = (fields: object) =>
  responseTools(ResponseBody.parse({ input: "Hi", ...fields })).offer;

const parameters = { type: "object", properties: { path: { type: "string" } } };
const look = { name: "look", description: "Looks", parameters };
const inChat = (name: string) => ({ type: "function", function: { ...look, name } });
const own = (name: string) => ({ type: "function", ...look, name });
const kept = JSON.stringify({ ...parameters, additionalProperties: false });
const shown = (name: string) => ({ ...look, name, custom: false });
const tool = (name: string) => ({ ...shown(name), kept });
const run = { name: "run", description: "", parameters: {}, custom: true };

const blames = (param: string) => expect.objectContaining({ status: 400, param });

describe("an offer", () => {
  it("is none where there is no tool that this server knows", () => {
    for (const fields of [
      {},
      { tools: [] },
      { tools: [{ type: "web_search" }] },
      { tool_choice: "auto" },
    ])
      expect([chat(fields), responses(fields)]).toEqual([undefined, undefined]);
  });

  it("is the same from both APIs", () => {
    const offer = { tools: [tool("look"), tool("b")], choice: "auto", parallel: true };
    expect(chat({ tools: [inChat("look"), { type: "mcp" }, inChat("b")] })).toEqual(offer);
    expect(responses({ tools: [own("look"), { type: "mcp" }, own("b")] })).toEqual(offer);
    const said = { tool_choice: "required", parallel_tool_calls: false };
    const forced = { tools: [tool("a")], choice: "required", parallel: false };
    expect(chat({ tools: [inChat("a")], ...said })).toEqual(forced);
    expect(responses({ tools: [own("a")], ...said })).toEqual(forced);
    expect(chat({ tools: [inChat("a")], tool_choice: "none" })).toMatchObject({ choice: "none" });
  });

  it("has custom tools with what binds their input", () => {
    const definition = "start: /a/";
    const lark = {
      type: "custom",
      name: "run",
      format: { type: "grammar", syntax: "lark", definition },
    };
    const regex = { type: "grammar", grammar: { syntax: "regex", definition: "a+" } };
    expect(responses({ tools: [lark] })!.tools).toEqual([{ ...run, lark: definition }]);
    expect(
      chat({ tools: [{ type: "custom", custom: { name: "run", format: regex } }] })!.tools,
    ).toEqual([{ ...run, pattern: "a+", kept: expect.stringContaining('"^(?:a+)$"') }]);
    const free = { type: "custom", name: "run", format: { type: "text" } };
    expect(responses({ tools: [free] })!.tools).toEqual([run]);
  });

  it("has tools of a namespace by both names", () => {
    const space = {
      type: "namespace",
      name: "docs",
      description: "All docs",
      tools: [own("look")],
    };
    const offer = responses({
      tools: [space, { ...space, name: "mcp__a__" }, own("look")],
      tool_choice: { type: "function", name: "look", namespace: "docs" },
    });
    expect(offer!.tools.map(({ name, description }) => [name, description])).toEqual([
      ["docs__look", "All docs\nLooks"],
      ["mcp__a__look", "All docs\nLooks"],
      ["look", "Looks"],
    ]);
    expect(offer!.choice).toEqual({ name: "docs__look" });
  });

  it("has what is allowed, and no more", () => {
    const named = { type: "function", function: { name: "b" } };
    const allowed_tools = { mode: "required", tools: [named, { type: "web_search" }] };
    expect(
      chat({
        tools: [inChat("a"), inChat("b")],
        tool_choice: { type: "allowed_tools", allowed_tools },
      }),
    ).toEqual({ tools: [tool("b")], choice: "required", parallel: true });
    const tool_choice = {
      type: "allowed_tools",
      mode: "auto",
      tools: [{ type: "function", name: "a" }],
    };
    expect(responses({ tools: [own("a"), own("b")], tool_choice })!.tools).toEqual([tool("a")]);
  });

  it("has functions, one call at a time, as they were before there were tools", () => {
    const offer = { tools: [tool("look")], choice: "auto", parallel: false };
    expect(chat({ functions: [look] })).toEqual(offer);
    expect(chat({ functions: [look], function_call: { name: "look" } })!.choice).toEqual({
      name: "look",
    });
    expect(chat({ functions: [look], function_call: "none" })!.choice).toBe("none");
  });
});

describe("what means nothing blames its field", () => {
  const space = { type: "namespace", name: "a", tools: [own("b")] };
  it.each<[object, string]>([
    [{ tools: [inChat("a"), inChat("a")] }, "tools[1].function.name"],
    [{ tools: [inChat("a"), { type: "custom", custom: { name: "a" } }] }, "tools[1].custom.name"],
    [{ tools: [inChat("a")], functions: [look] }, "functions"],
    [{ functions: [look, look] }, "functions[1].name"],
    [{ functions: [look], function_call: { name: "b" } }, "function_call.name"],
    [{ tool_choice: "required" }, "tool_choice"],
    [{ tools: [inChat("a")], tool_choice: inChat("b") }, "tool_choice.function.name"],
    [{ tool_choice: inChat("b") }, "tool_choice.function.name"],
    [
      {
        tools: [inChat("a")],
        tool_choice: {
          type: "allowed_tools",
          allowed_tools: { mode: "auto", tools: [inChat("b")] },
        },
      },
      "tool_choice.allowed_tools.tools[0].function.name",
    ],
  ])("chat %j: %s", (fields, param) => {
    expect(() => chat(fields)).toThrow(blames(param));
  });

  it.each<[object, string]>([
    [{ tools: [own("a"), own("a")] }, "tools[1].name"],
    [{ tools: [own("a__b"), space] }, "tools[1].tools[0].name"],
    [{ tools: [{ type: "web_search" }], tool_choice: "required" }, "tool_choice"],
    [{ tools: [space], tool_choice: { type: "function", name: "b" } }, "tool_choice.name"],
    [
      { tools: [own("a")], tool_choice: { type: "allowed_tools", mode: "required", tools: [] } },
      "tool_choice",
    ],
    [
      {
        tools: [own("a")],
        tool_choice: { type: "allowed_tools", mode: "auto", tools: [own("b")] },
      },
      "tool_choice.tools[0].name",
    ],
  ])("responses %j: %s", (fields, param) => {
    expect(() => responses(fields)).toThrow(blames(param));
  });
});

it("the object of a response repeats what was offered, with null where nothing was said", () => {
  const { tools, tool_choice } = ResponseBody.parse({
    input: "Hi",
    tools: [
      { type: "function", name: "a" },
      { type: "web_search" },
      { type: "custom", name: "c" },
      { type: "namespace", name: "n", tools: [own("d")] },
    ],
    tool_choice: { type: "allowed_tools", mode: "auto", tools: [{ type: "web_search" }, own("a")] },
  });
  const silent = { description: null, parameters: null, strict: null };
  expect(repeatedTools(tools)).toEqual([
    { type: "function", name: "a", ...silent },
    { type: "custom", name: "c", description: "", format: { type: "text" } },
    { type: "namespace", name: "n", description: "", tools: [{ ...own("d"), strict: null }] },
  ]);
  expect(repeatedChoice(tool_choice)).toEqual({
    type: "allowed_tools",
    mode: "auto",
    tools: [{ type: "function", name: "a" }],
  });
  expect([repeatedChoice(undefined), repeatedTools(null)]).toEqual(["auto", []]);
});
