/** What tools are kept to, in every API, and what their senders hear of what can't be. */
import { describe, expect, it } from "vitest";
import { AnthropicCountBody } from "../../../../src-ts/protocol/anthropic.js";
import { ChatBody, ResponseBody } from "../../../../src-ts/protocol/index.js";
import { anthropicTools } from "../../../../src-ts/server/submissions/anthropic-tools.js";
import { chatTools, responseTools } from "../../../../src-ts/server/submissions/tools.js";

const messages = [{ role: "user", content: "Hi" }];
const schema = { type: "object", properties: { x: { type: "string", not: {} } } };
const rest = { type: "object", properties: { x: { type: "string" } }, additionalProperties: false };

interface Said {
  choice?: object | string;
  strict?: boolean;
  parameters?: object;
}

const apis = {
  chat: {
    offer: ({ choice, strict, parameters = schema }: Said, drop?: (param: string) => void) => {
      const tools = [{ type: "function", function: { name: "f", parameters, strict } }];
      return chatTools(ChatBody.parse({ messages, tools, tool_choice: choice }), drop);
    },
    place: "tools[0].function.parameters",
    named: { type: "function", function: { name: "f" } },
    required: "required",
  },
  responses: {
    offer: ({ choice, strict, parameters = schema }: Said, drop?: (param: string) => void) => {
      const tools = [{ type: "function", name: "f", parameters, strict }];
      return responseTools(ResponseBody.parse({ input: "Hi", tools, tool_choice: choice }), drop);
    },
    place: "tools[0].parameters",
    named: { type: "function", name: "f" },
    required: "required",
  },
  namespaces: {
    offer: ({ choice, strict, parameters = schema }: Said, drop?: (param: string) => void) => {
      const inside = { type: "function", name: "f", parameters, strict };
      const tools = [{ type: "namespace", name: "n", tools: [inside] }];
      return responseTools(ResponseBody.parse({ input: "Hi", tools, tool_choice: choice }), drop);
    },
    place: "tools[0].tools[0].parameters",
    named: { type: "function", namespace: "n", name: "f" },
    required: "required",
  },
  anthropic: {
    offer: ({ choice, strict, parameters = schema }: Said, drop?: (param: string) => void) => {
      const tools = [{ name: "f", input_schema: parameters, strict }];
      const tool_choice = choice;
      return anthropicTools(AnthropicCountBody.parse({ messages, tools, tool_choice }), drop);
    },
    place: "tools[0].input_schema",
    named: { type: "tool", name: "f" },
    required: { type: "any" },
  },
};

describe.each(Object.entries(apis))("%s", (_name, { offer, place, named, required }) => {
  const refused = expect.objectContaining({ status: 400, param: `${place}.properties.x.not` });

  it("a tool that is neither forced nor strict is kept to what can be", () => {
    const dropped: string[] = [];
    const [tool] = offer({}, (param) => dropped.push(param)).offer!.tools;
    expect(JSON.parse(tool!.kept!)).toEqual(rest);
    expect(tool).toMatchObject({ parameters: schema, loose: true });
    expect(dropped).toEqual([`${place}.properties.x.not`]);
  });

  it("one that is forced or strict is refused with the place, and any where nothing may be left out", () => {
    const drop = () => expect.unreachable();
    expect(() => offer({ choice: named }, drop)).toThrow(refused);
    expect(() => offer({ choice: required }, drop)).toThrow(refused);
    expect(() => offer({ strict: true }, drop)).toThrow(refused);
    expect(() => offer({})).toThrow(refused);
  });

  it("arguments are an object of what is named", () => {
    const kept = (parameters: object) => JSON.parse(offer({ parameters }).offer!.tools[0]!.kept!);
    const nothing = { type: "object", properties: {}, additionalProperties: false };
    expect(kept({})).toEqual(nothing);
    expect(kept({ type: "object" })).toEqual(nothing);
    expect(kept({ type: ["object", "null"], properties: {} })).toEqual(nothing);
    const open = { type: "object", additionalProperties: { type: "string" } };
    expect(kept(open)).toEqual(open);
    expect(kept({ type: "object", required: ["a"] })).toEqual({ type: "object", required: ["a"] });
    const blames = expect.objectContaining({ status: 400, param: `${place}.type` });
    for (const type of ["array", "string", ["string", "null"]])
      expect(() => offer({ parameters: { type } }, () => {})).toThrow(blames);
  });

  it("what a worker can't keep to is named as the body has it", () => {
    const { toolField, offer: offered } = offer({ parameters: {} });
    const { name } = offered!.tools[0]!;
    expect(toolField!(`${name}/properties/a~1b/pattern`)).toBe(`${place}.properties.a/b.pattern`);
    expect(toolField!(name)).toBe(place);
    expect(toolField!("another")).toBeUndefined();
  });
});

it("tools that may not be called are shown and kept to nothing", () => {
  const { offer } = apis.chat.offer({ choice: "none" });
  expect(offer!.tools[0]).not.toHaveProperty("kept");
  const tools = ["f", "g"].map((name) => ({ type: "function", name, parameters: schema }));
  const tool_choice = { type: "function", name: "g" };
  const sound = { ...tools[1]!, parameters: {} };
  const body = ResponseBody.parse({ input: "Hi", tools: [tools[0], sound], tool_choice });
  const [first, second] = responseTools(body).offer!.tools;
  expect([first!.kept, second!.kept]).toEqual([undefined, expect.any(String)]);
});

describe("a custom tool", () => {
  const offer = (syntax: string, definition: string) => {
    const format = { type: "grammar", syntax, definition };
    const tools = [{ type: "custom", name: "c", format }];
    return responseTools(ResponseBody.parse({ input: "Hi", tools }), () => {});
  };
  const blames = expect.objectContaining({ status: 400, param: "tools[0].format.definition" });

  it("is kept to its pattern as a whole", () => {
    const { kept } = offer("regex", "a|b").offer!.tools[0]!;
    expect(JSON.parse(kept!).properties.input).toEqual({ type: "string", pattern: "^(?:a|b)$" });
  });

  it("with what no grammar can do is refused by the place", () => {
    for (const definition of ["(?=a)", "(", "\\bx"])
      expect(() => offer("regex", definition)).toThrow(blames);
    expect(() => offer("lark", "start: %json {}")).toThrow(blames);
    expect(offer("lark", "start: /a/").offer!.tools[0]!.lark).toBe("start: /a/");
  });

  it("that a worker can't keep to is blamed for the one place that binds it", () => {
    const { toolField } = offer("lark", "start: /a/");
    for (const pointer of ["c", "c/format/definition", "c/properties/input/pattern"])
      expect(toolField!(pointer)).toBe("tools[0].format.definition");
  });
});
