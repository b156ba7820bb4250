import { describe, expect, it } from "vitest";
import { isServingError, type ServingError } from "../../../../src-ts/errors.js";
import {
  ChatBody,
  CompletionBody,
  limits,
  ResponseBody,
} from "../../../../src-ts/protocol/index.js";
import { validate } from "../../../../src-ts/server/validation/validate.js";

const bodies = {
  chat: { schema: ChatBody, base: { messages: [{ role: "user", content: "hi" }] } },
  completions: { schema: CompletionBody, base: { prompt: "hi" } },
  responses: { schema: ResponseBody, base: { input: "hi" } },
};

type Api = keyof typeof bodies;

function check(api: Api, fields: object): ServingError | undefined {
  const { schema, base } = bodies[api];
  try {
    validate(schema, { ...base, ...fields });
    return undefined;
  } catch (error) {
    if (isServingError(error)) return error;
    throw error;
  }
}

const inert = {
  user: "somebody",
  safety_identifier: "hash",
  prompt_cache_key: "key",
  prompt_cache_retention: "in-memory",
  service_tier: "auto",
  parallel_tool_calls: true,
};

const extensions = { top_k: 40, min_p: 0.05, repetition_penalty: 1.1, seed: -1, stop: ["a", "b"] };

describe("values that change nothing are accepted", () => {
  const neutral: [Api, object][] = [
    ["chat", inert],
    ["chat", extensions],
    ["chat", { tools: [], tool_choice: "auto", functions: [], function_call: "none", n: 1 }],
    ["chat", { response_format: { type: "text" }, modalities: ["text"], verbosity: "medium" }],
    ["chat", { response_format: { type: "json_object" }, guided_json: null }],
    ["chat", { guided_choice: ["a", "b"] }],
    ["completions", { structured_outputs: { json: {} } }],
    ["responses", { text: { format: { type: "json_schema", name: "x", schema: {} } } }],
    ["chat", { metadata: { a: "b" }, store: false, reasoning_effort: "none", logit_bias: {} }],
    ["chat", { logprobs: false, top_logprobs: 0, prediction: null, audio: null }],
    ["chat", { stream: true, stream_options: { include_usage: true, include_obfuscation: false } }],
    ["completions", inert],
    ["completions", extensions],
    ["completions", { best_of: 1, echo: false, suffix: "", n: 1, logprobs: null }],
    ["responses", inert],
    ["responses", extensions],
    ["responses", { tools: [], tool_choice: "none", include: [], top_logprobs: 0, store: true }],
    ["responses", { text: { format: { type: "text" } }, reasoning: null, truncation: "disabled" }],
    ["responses", { reasoning: {}, background: false, previous_response_id: null, metadata: {} }],
    ["responses", { include: ["reasoning.encrypted_content"], conversation: null, prompt: null }],
  ];
  it.each(neutral)("%s %j", (api, fields) => {
    expect(check(api, fields)).toBeUndefined();
  });

  it.each(["chat", "completions", "responses"] as const)("null for every field of %s", (api) => {
    const { schema, base } = bodies[api];
    const optional = Object.keys(schema.shape).filter((name) => !(name in base));
    const fields = Object.fromEntries(optional.map((name) => [name, null]));
    expect(check(api, fields)).toBeUndefined();
  });
});

describe("tools", () => {
  const name = "look";
  const own = { type: "function", name, description: null, parameters: {}, strict: null };
  const inChat = { type: "function", function: { name, parameters: { type: "object" } } };
  const grammar = { syntax: "lark", definition: "start: /a/" };
  const call = { id: "1", type: "function", function: { name, arguments: "{}" } };
  const messages = [
    { role: "assistant", content: null, tool_calls: [call], reasoning_content: "Hm" },
    { role: "tool", tool_call_id: "1", content: [{ type: "text", text: "x" }], name },
    { role: "assistant", function_call: { name, arguments: "{}" } },
    { role: "function", name, content: "x" },
  ];
  const given: [Api, object][] = [
    ["chat", { tools: [inChat, { type: "web_search" }], tool_choice: "required" }],
    [
      "chat",
      { tools: [{ type: "custom", custom: { name, format: { type: "grammar", grammar } } }] },
    ],
    ["chat", { tool_choice: { type: "function", function: { name } }, parallel_tool_calls: false }],
    [
      "chat",
      { tool_choice: { type: "allowed_tools", allowed_tools: { mode: "auto", tools: [] } } },
    ],
    ["chat", { functions: [{ name }], function_call: { name } }],
    ["chat", { messages, reasoning_effort: "high" }],
    ["responses", { tools: [own, { type: "mcp", server_label: "x" }], tool_choice: "required" }],
    ["responses", { tools: [{ type: "custom", name, format: { type: "grammar", ...grammar } }] }],
    ["responses", { tools: [{ type: "namespace", name, description: "d", tools: [own] }] }],
    ["responses", { tool_choice: { type: "custom", name }, reasoning: { max_tokens: 5 } }],
    ["responses", { input: [{ type: "function_call", call_id: "1", name, arguments: "" }] }],
    ["responses", { input: [{ type: "custom_tool_call", call_id: "1", name, input: "" }] }],
    ["responses", { input: [{ type: "function_call_output", call_id: "1", output: [] }] }],
    ["responses", { input: [{ type: "reasoning", summary: [], encrypted_content: "x" }] }],
    [
      "responses",
      {
        input: [
          { type: "item_reference", id: "fc_1" },
          { role: "user", content: "" },
        ],
      },
    ],
  ];
  it.each(given)("%s takes %j", (api, fields) => {
    expect(check(api, fields)).toBeUndefined();
  });

  const long = "x".repeat(limits.toolDescriptionCharsMax + 1);
  const wrong: [Api, object, string][] = [
    ["chat", { tools: [{ type: "function", function: {} }] }, "tools[0].function.name"],
    [
      "chat",
      { tools: [{ type: "function", function: { name: "a b" } }] },
      "tools[0].function.name",
    ],
    ["chat", { tools: [{ function: { name } }] }, "tools[0].type"],
    [
      "chat",
      { tools: [{ ...inChat, function: { name, description: long } }] },
      "tools[0].function.description",
    ],
    [
      "chat",
      { tools: [{ ...inChat, function: { name, parameters: "{}" } }] },
      "tools[0].function.parameters",
    ],
    ["chat", { tools: Array.from({ length: limits.toolsMax + 1 }, () => inChat) }, "tools"],
    ["chat", { tool_choice: "any" }, "tool_choice"],
    ["chat", { messages: [{ role: "assistant", content: null }] }, "messages[0].content"],
    ["chat", { messages: [{ role: "tool", content: "x" }] }, "messages[0].tool_call_id"],
    ["responses", { tools: [{ type: "function" }] }, "tools[0].name"],
    ["responses", { tools: [inChat] }, "tools[0].name"],
    ["responses", { tools: [{ ...own, description: long }] }, "tools[0].description"],
    [
      "responses",
      {
        tools: [
          { type: "custom", name, format: { type: "grammar", syntax: "ebnf", definition: "x" } },
        ],
      },
      "tools[0].format.syntax",
    ],
    ["responses", { input: [{ type: "function_call", call_id: "1", name }] }, "input[0].arguments"],
    ["responses", { input: [{ type: "function_call" }] }, "input[0].call_id"],
    [
      "responses",
      {
        input: [{ type: "function_call_output", call_id: "1", output: [{ type: "input_image" }] }],
      },
      "input[0].output[0].type",
    ],
    ["responses", { reasoning: { max_tokens: -1 } }, "reasoning.max_tokens"],
  ];
  it.each(wrong)("%s blames a field of %j: %s", (api, fields, param) => {
    expect(check(api, fields)).toMatchObject({ status: 400, param });
  });
});

describe("what is not supported is refused by name", () => {
  const tool = { type: "function", function: { name: "f", parameters: {} } };
  const refused: [Api, object, string][] = [
    ["chat", { tool_choice: { type: "web_search" } }, "tool_choice.type"],
    ["chat", { modalities: ["text", "audio"] }, "modalities"],
    ["chat", { audio: { voice: "alloy" } }, "audio"],
    ["chat", { previous_response_id: "resp_1" }, "previous_response_id"],
    ["chat", { documents: [{ text: "x" }] }, "documents"],
    ["chat", { chat_template: "{{ messages }}" }, "chat_template"],
    ["chat", { continue_final_message: true }, "continue_final_message"],
    ["chat", { chat_template_kwargs: { tools: [tool] } }, "chat_template_kwargs.tools"],
    ["chat", { web_search_options: {} }, "web_search_options"],
    [
      "chat",
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] },
      "messages[0].content[0].type",
    ],
    ["completions", { best_of: 2 }, "best_of"],
    ["completions", { suffix: "tail" }, "suffix"],
    ["completions", { tools: [tool] }, "tools"],
    ["responses", { tool_choice: { type: "web_search" } }, "tool_choice.type"],
    ["responses", { tool_choice: { type: "mcp", server_label: "x" } }, "tool_choice.type"],
    ["responses", { functions: [{ name: "f" }] }, "functions"],
    ["responses", { modalities: ["audio"] }, "modalities[0]"],
    ["completions", { previous_response_id: "resp_1" }, "previous_response_id"],
    ["responses", { conversation: "conv_1" }, "conversation"],
    ["responses", { prompt: { id: "p" } }, "prompt"],
    ["responses", { input: [{ type: "web_search_call", id: "1" }] }, "input[0].type"],
    [
      "responses",
      { input: [{ role: "user", content: [{ type: "input_image", image_url: "x" }] }] },
      "input[0].content[0].type",
    ],
  ];
  it.each(refused)("%s %j: %s", (api, fields, param) => {
    const error = check(api, fields);
    expect(error).toMatchObject({ status: 400, code: "unsupported_parameter", param });
    expect(error!.message).toContain("not supported");
  });
});

describe("what is wrong is refused by name", () => {
  const wrong: [Api, object, string, string][] = [
    ["chat", { chat_template_kwargs: "x" }, "chat_template_kwargs", "invalid_type"],
    [
      "chat",
      { chat_template_kwargs: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [i, 1])) },
      "chat_template_kwargs",
      "invalid_value",
    ],
    [
      "responses",
      { chat_template_kwargs: { text: "x".repeat(65_536) } },
      "chat_template_kwargs",
      "invalid_value",
    ],
    ["chat", { max_output_tokens: 0 }, "max_output_tokens", "invalid_value"],
    ["responses", { max_tokens: "5" }, "max_tokens", "invalid_type"],
    ["responses", { include: "reasoning" }, "include", "invalid_type"],
    ["responses", { include: [5] }, "include[0]", "invalid_type"],
    ["responses", { background: "yes" }, "background", "invalid_type"],
    ["responses", { text: "low" }, "text", "invalid_type"],
    ["responses", { parallel_tool_calls: "yes" }, "parallel_tool_calls", "invalid_type"],
    ["chat", { messages: [] }, "messages", "invalid_value"],
    ["chat", { messages: "hi" }, "messages", "invalid_type"],
    ["chat", { messages: [{ role: "user" }] }, "messages[0].content", "invalid_type"],
    ["chat", { messages: [{ role: "user", content: 5 }] }, "messages[0].content", "invalid_value"],
    ["chat", { messages: [{ role: "user", content: [] }] }, "messages[0].content", "invalid_value"],
    [
      "chat",
      { messages: [{ role: "user", content: [{ type: "text" }] }] },
      "messages[0].content[0].text",
      "invalid_type",
    ],
    ["chat", { temperature: 2.01 }, "temperature", "invalid_value"],
    ["chat", { temperature: "1" }, "temperature", "invalid_type"],
    ["chat", { top_p: -0.1 }, "top_p", "invalid_value"],
    ["chat", { n: 0 }, "n", "invalid_value"],
    ["chat", { n: 17 }, "n", "invalid_value"],
    ["chat", { n: 1.5 }, "n", "invalid_type"],
    ["chat", { max_tokens: 0 }, "max_tokens", "invalid_value"],
    ["chat", { max_completion_tokens: 1_048_577 }, "max_completion_tokens", "invalid_value"],
    ["chat", { stop: Array.from({ length: 17 }, () => "x") }, "stop", "invalid_value"],
    ["chat", { stop: [""] }, "stop[0]", "invalid_value"],
    ["chat", { logit_bias: { "12": 101 } }, "logit_bias.12", "invalid_value"],
    ["chat", { logit_bias: { twelve: 1 } }, "logit_bias", "invalid_value"],
    ["chat", { top_logprobs: 21 }, "top_logprobs", "invalid_value"],
    ["chat", { frequency_penalty: -2.5 }, "frequency_penalty", "invalid_value"],
    ["chat", { stream: "yes" }, "stream", "invalid_type"],
    ["responses", { metadata: { a: 1 } }, "metadata.a", "invalid_type"],
    ["chat", { model: "" }, "model", "invalid_value"],
    ["completions", { prompt: undefined }, "prompt", "invalid_type"],
    ["completions", { prompt: null }, "prompt", "invalid_value"],
    ["completions", { prompt: [] }, "prompt", "invalid_value"],
    ["completions", { prompt: Array.from({ length: 65 }, () => "x") }, "prompt", "invalid_value"],
    ["completions", { prompt: [1, -2] }, "prompt", "invalid_value"],
    ["completions", { prompt: ["x", 5] }, "prompt", "invalid_value"],
    ["completions", { logprobs: 21 }, "logprobs", "invalid_value"],
    ["responses", { input: [] }, "input", "invalid_value"],
    ["responses", { input: [{ role: "robot", content: "x" }] }, "input[0].role", "invalid_value"],
    ["responses", { max_output_tokens: 0 }, "max_output_tokens", "invalid_value"],
    ["responses", { top_k: 1.5 }, "top_k", "invalid_type"],
    ["responses", { repetition_penalty: 0 }, "repetition_penalty", "invalid_value"],
    [
      "responses",
      { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, "v"])) },
      "metadata",
      "invalid_value",
    ],
  ];
  it.each(wrong)("%s %j: %s is %s", (api, fields, param, code) => {
    expect(check(api, fields)).toMatchObject({ status: 400, code, param });
  });

  const said: [Api, object, string][] = [
    ["chat", { n: 99 }, "n must be at most 16."],
    ["chat", { n: 0 }, "n must be at least 1."],
    ["chat", { n: 1.5 }, "n must be an integer."],
    ["chat", { temperature: 3 }, "temperature must be at most 2."],
    ["chat", { temperature: "1" }, "temperature must be a number."],
    ["chat", { stream: "yes" }, "stream must be true or false."],
    ["chat", { messages: "hi" }, "messages must be a list."],
    ["chat", { messages: [] }, "messages must have at least 1 element."],
    [
      "chat",
      { messages: [{ role: "user", content: 5 }] },
      "messages[0].content must be a string or a list of text parts.",
    ],
    ["chat", { model: "m".repeat(513) }, "model must have at most 512 characters."],
    [
      "chat",
      { stop: Array.from({ length: 17 }, () => "x") },
      "stop must have at most 16 elements.",
    ],
    ["chat", { logit_bias: { twelve: 1 } }, "logit_bias must have token ids as keys."],
    [
      "completions",
      { prompt: 5 },
      "prompt must be a string, a list of token ids, or a list of at most 64 of either.",
    ],
    ["responses", { input: 5 }, "input must be a string or a list of items."],
    ["responses", { repetition_penalty: 0 }, "repetition_penalty must be above 0."],
    ["responses", { max_output_tokens: 2_000_000 }, "max_output_tokens must be at most 1,048,576."],
    [
      "responses",
      { metadata: { k: "x".repeat(513) } },
      "metadata.k must have at most 512 characters.",
    ],
    [
      "responses",
      { input: [{ role: "robot", content: "x" }] },
      "input[0].role must be one of system, developer, user, assistant.",
    ],
    [
      "responses",
      { tool_choice: { type: "file_search" } },
      "tool_choice.type: A tool that a host runs is not supported by this server.",
    ],
    [
      "responses",
      { metadata: { ["k".repeat(65)]: "v" } },
      `metadata.${"k".repeat(64)} as a key must have at most 64 characters.`,
    ],
    [
      "chat",
      { chat_template_kwargs: { ["k".repeat(600)]: 1 } },
      `chat_template_kwargs.${"k".repeat(64)} as a key must have at most 512 characters.`,
    ],
    ["chat", { logit_bias: { "5": "x" } }, "logit_bias.5 must be a number."],
    ["chat", { stop: 5 }, "stop must be a string or a list of at most 16 strings."],
    ["chat", { messages: [5] }, "messages[0] must be an object."],
    [
      "chat",
      { messages: [{ role: "robot", content: "x" }] },
      "messages[0].role must be system, developer, user, assistant or tool.",
    ],
    ["responses", { text: 5 }, "text must be an object."],
  ];
  it.each(said)("names the field and the bound, in one voice: %s %j", (api, fields, message) => {
    expect(check(api, fields)!.message).toBe(message);
  });

  const missing: [Api, object, string][] = [
    ["chat", { messages: undefined }, "messages"],
    ["chat", { messages: [{ content: "x" }] }, "messages[0].role"],
    ["chat", { messages: [{ role: "user" }] }, "messages[0].content"],
    ["chat", { messages: [{ role: "user", content: [{}] }] }, "messages[0].content[0].type"],
    ["chat", { messages: [{ role: "assistant", content: [{}] }] }, "messages[0].content[0].type"],
    ["chat", { response_format: {} }, "response_format.type"],
    ["completions", { prompt: undefined }, "prompt"],
    ["responses", { input: [{ content: "x" }] }, "input[0].role"],
    ["responses", { input: [{ type: "message", role: "user" }] }, "input[0].content"],
    ["responses", { input: [{ role: "user", content: [{}] }] }, "input[0].content[0].type"],
    [
      "responses",
      { input: [{ role: "user", content: [{ type: "input_text" }] }] },
      "input[0].content[0].text",
    ],
    ["responses", { text: { format: {} } }, "text.format.type"],
  ];
  it.each(missing)("a field that isn't there is required: %s %j", (api, fields, param) => {
    const error = check(api, fields)!;
    expect(error.toBody()).toEqual({
      message: `${param} is required.`,
      type: "invalid_request_error",
      param,
      code: "invalid_type",
    });
  });

  it("says first what is not supported, not what a body without it lacks", () => {
    const fields = { messages: [{ role: "user", content: [{}] }], previous_response_id: "r" };
    expect(check("chat", fields)).toMatchObject({ param: "previous_response_id" });
  });

  it.each(["chat", "completions", "responses"] as const)("names a field of %s once", (api) => {
    const values = [5, "x", true, {}, ["x"], [5], { x: 1 }];
    const said = Object.keys(bodies[api].schema.shape).flatMap((name) =>
      values.flatMap((value) => check(api, { [name]: value })?.message ?? []),
    );
    expect(said.length).toBeGreaterThan(50);
    expect(said.filter((message) => /^(\S+?):? \1\b/.test(message))).toEqual([]);
  });

  it.each([
    [
      "chat",
      { previous_response_id: "r" },
      "previous_response_id is not supported by this server.",
    ],
    ["responses", { conversation: "c" }, "conversation is not supported by this server."],
    ["completions", { best_of: 2 }, "best_of is not supported by this server."],
    ["completions", { suffix: "after" }, "suffix is not supported by this server."],
    ["completions", { suffix: "x" }, "suffix is not supported by this server."],
    ["chat", { audio: {} }, "audio: Audio is not supported by this server."],
  ] as const)("says of what is not supported: %s %j", (api, fields, message) => {
    expect(check(api, fields)!.message).toBe(message);
  });

  it("never repeats a value, and cuts a name that is none", () => {
    const secret = "the secret prompt";
    for (const fields of [
      { messages: secret },
      { messages: [{ role: secret, content: "x" }] },
      { messages: [{ role: "user", content: [{ type: secret }] }] },
      { tool_choice: secret },
      { response_format: { type: secret } },
    ])
      expect(check("chat", fields)!.message).not.toContain(secret);
    const key = `\u0000${"x".repeat(1000)}`;
    const error = check("responses", { metadata: { [key]: 1 } })!;
    expect(error.param!.length).toBeLessThan(100);
    expect(error.param).toMatch(/^metadata\.\?x+$/);
  });

  it("has a body to look at", () => {
    for (const body of [undefined, null, 5, "x", []]) {
      expect(() => validate(ChatBody, body)).toThrow("The request");
    }
  });
});
