import { describe, expect, it } from "vitest";
import { OllamaChatBody, OllamaGenerateBody } from "../../../../src-ts/protocol/ollama.js";
import { ollamaChat, ollamaGeneration } from "../../../../src-ts/server/submissions/ollama.js";
import { validate } from "../../../../src-ts/server/validation/validate.js";
import { caller } from "./caller.js";

const messages = [{ role: "user", content: "Hi" }];
const chat = (fields: object) =>
  ollamaChat(validate(OllamaChatBody, { messages, ...fields }), caller);
const generation = (fields: object) =>
  ollamaGeneration(validate(OllamaGenerateBody, { prompt: "Hi", ...fields }), caller);

it("is one response, which nobody keeps", () => {
  for (const submission of [chat({ model: "m" }), generation({ model: "m" })])
    expect(submission).toMatchObject({
      model: "m",
      store: false,
      abandonment: { kind: "cancel" },
      owner: "key:1",
      idPrefix: "ollama",
    });
});

it("leaves out what the body leaves out: the engine has the defaults", () => {
  const { sampling, model, maxTokens, constraint } = chat({});
  expect(Object.values(sampling!).filter((value) => value !== undefined)).toEqual([]);
  expect([model, maxTokens, constraint]).toEqual([undefined, undefined, undefined]);
});

it("draws as its options say", () => {
  const draw = { temperature: 0.5, top_p: 0.9, top_k: 5, min_p: 0.1, seed: 3, repeat_penalty: 1.1 };
  const penalties = { presence_penalty: 0.2, frequency_penalty: 0.3, stop: "END" };
  const options = { ...draw, ...penalties, num_predict: 9 };
  const { sampling, maxTokens } = chat({ options });
  expect(maxTokens).toBe(9);
  expect(sampling).toMatchObject({
    temperature: 0.5,
    topP: 0.9,
    topK: 5,
    minP: 0.1,
    seed: 3,
    repetitionPenalty: 1.1,
    presencePenalty: 0.2,
    frequencyPenalty: 0.3,
    stop: ["END"],
  });
});

it.each([-2, -1, 0])("has no limit of its own by num_predict %d", (num_predict) => {
  expect(chat({ options: { num_predict } }).maxTokens).toBeUndefined();
});

it.each([
  [{ think: true }, { enabled: true }],
  [{ think: false }, { enabled: false }],
  [{ think: "high" }, undefined],
  [{}, undefined],
])("thinks, of %j, as %j", (fields, reasoning) => {
  for (const { input } of [chat(fields), generation(fields)])
    expect(input.kind === "chat" && input.reasoning).toEqual(reasoning);
});

describe("format", () => {
  it.each([
    ["json", '{"type":"object"}'],
    [{ type: "boolean" }, '{"type":"boolean"}'],
  ])("%j keeps the answer to it", (format, text) => {
    expect(chat({ format })).toMatchObject({
      constraint: { kind: "json", text },
      constraintName: "format",
    });
  });

  it.each(["", null])("%j asks for nothing", (format) => {
    expect(generation({ format }).constraint).toBeUndefined();
  });

  it("is refused by its path where it can't be kept to, or is none", () => {
    const format = { type: "object", properties: { a: { type: "what" } } };
    const refused = () => chat({ format });
    expect(refused).toThrow(
      expect.objectContaining({ status: 400, param: "format.properties.a.type" }),
    );
    expect(() => chat({ format: "yaml" })).toThrow(expect.objectContaining({ param: "format" }));
  });
});

describe("a generation", () => {
  it("is a chat of one turn, after what the system says", () => {
    expect(generation({ system: "Be kind." }).input).toMatchObject({
      kind: "chat",
      messages: [
        { role: "system", content: "Be kind." },
        { role: "user", content: "Hi" },
      ],
    });
  });

  it("is its prompt alone if it is raw", () => {
    expect(generation({ raw: true }).input).toEqual({ kind: "text", text: "Hi" });
    const refused = () => generation({ raw: true, system: "Be kind." });
    expect(refused).toThrow(expect.objectContaining({ status: 400, param: "system" }));
  });

  it.each([
    ["images", ["aGk="]],
    ["context", [1, 2]],
    ["template", "{{ .Prompt }}"],
    ["suffix", "end"],
    ["logprobs", true],
  ])("with %s is refused by name", (param, value) => {
    const wrong = expect.objectContaining({ status: 400, code: "unsupported_parameter", param });
    expect(() => generation({ [param]: value })).toThrow(wrong);
  });
});

describe("a history", () => {
  const call = (name: string, more = {}) => ({ function: { name, arguments: { a: 1 } }, ...more });
  const said = (tool_calls: object[], results: object[]) =>
    chat({ messages: [...messages, { role: "assistant", tool_calls }, ...results] }).input;
  const result = (fields = {}) => ({ role: "tool", content: "1", ...fields });

  it("gives calls ids, and results those of the calls that they name", () => {
    const results = [result({ tool_name: "g" }), result({ tool_call_id: "mine" }), result()];
    expect(said([call("f"), call("g"), call("f", { id: "mine" })], results)).toMatchObject({
      messages: [
        { role: "user" },
        {
          role: "assistant",
          content: "",
          tool_calls: [
            { id: "call_1_0", function: { name: "f", arguments: '{"a":1}' } },
            { id: "call_1_1", function: { name: "g" } },
            { id: "mine", function: { name: "f" } },
          ],
        },
        { role: "tool", tool_call_id: "call_1_1" },
        { role: "tool", tool_call_id: "mine" },
        { role: "tool", tool_call_id: "call_1_0" },
      ],
    });
  });

  it("keeps what was thought", () => {
    const { input } = chat({
      messages: [...messages, { role: "assistant", content: "Yes.", thinking: "Hm." }],
    });
    expect(input).toMatchObject({ messages: [{}, { content: "Yes.", reasoning_content: "Hm." }] });
  });

  it.each([
    [{ tool_name: "none" }, "messages[2].tool_name"],
    [{ tool_call_id: "none" }, "messages[2].tool_call_id"],
  ])("with a result of %j is refused", (fields, param) => {
    const refused = () => said([call("f")], [result(fields)]);
    expect(refused).toThrow(expect.objectContaining({ status: 400, param }));
  });

  it("has no images", () => {
    const pictured = [{ role: "user", content: "What is it?", images: ["aGk="] }];
    const wrong = { status: 400, code: "unsupported_parameter", param: "messages[0].images" };
    expect(() => chat({ messages: pictured })).toThrow(expect.objectContaining(wrong));
    expect(chat({ messages: [{ ...messages[0], images: [] }] }).input.kind).toBe("chat");
  });
});

it("offers tools", () => {
  const tools = [{ type: "function", function: { name: "f", parameters: { type: "object" } } }];
  const { input } = chat({ tools });
  expect(input).toMatchObject({ tools: { tools: [{ name: "f" }] } });
});
