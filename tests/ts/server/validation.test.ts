import { describe, expect, it } from "vitest";
import { isServingError, type ServingError } from "../../../src-ts/errors.js";
import { ChatBody, CompletionBody, ResponseBody } from "../../../src-ts/protocol/index.js";
import { validate } from "../../../src-ts/server/validate.js";

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

describe("what is not supported is refused by name", () => {
  const tool = { type: "function", function: { name: "f", parameters: {} } };
  const refused: [Api, object, string][] = [
    ["chat", { tools: [tool] }, "tools"],
    ["chat", { tool_choice: "required" }, "tool_choice"],
    ["chat", { functions: [{ name: "f" }] }, "functions"],
    ["chat", { response_format: { type: "json_object" } }, "response_format.type"],
    ["chat", { response_format: { type: "json_schema", json_schema: {} } }, "response_format.type"],
    ["chat", { modalities: ["text", "audio"] }, "modalities"],
    ["chat", { audio: { voice: "alloy" } }, "audio"],
    ["chat", { store: true }, "store"],
    ["chat", { reasoning_effort: "high" }, "reasoning_effort"],
    ["chat", { service_tier: "flex" }, "service_tier"],
    ["chat", { web_search_options: {} }, "web_search_options"],
    ["chat", { messages: [{ role: "tool", content: "x", tool_call_id: "1" }] }, "messages[0].role"],
    [
      "chat",
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] },
      "messages[0].content[0].type",
    ],
    ["completions", { best_of: 2 }, "best_of"],
    ["completions", { echo: true }, "echo"],
    ["completions", { suffix: "tail" }, "suffix"],
    ["responses", { tools: [{ type: "web_search" }] }, "tools"],
    ["responses", { background: true }, "background"],
    ["responses", { previous_response_id: "resp_1" }, "previous_response_id"],
    ["responses", { conversation: "conv_1" }, "conversation"],
    ["responses", { prompt: { id: "p" } }, "prompt"],
    ["responses", { truncation: "auto" }, "truncation"],
    ["responses", { reasoning: { effort: "high" } }, "reasoning.effort"],
    ["responses", { text: { format: { type: "json_schema", name: "x" } } }, "text.format.type"],
    ["responses", { include: ["file_search_call.results"] }, "include[0]"],
    [
      "responses",
      { stream_options: { include_obfuscation: true } },
      "stream_options.include_obfuscation",
    ],
    [
      "responses",
      { input: [{ type: "function_call_output", call_id: "1", output: "x" }] },
      "input[0].type",
    ],
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
    ["chat", { temprature: 1 }, "temprature", "unknown_parameter"],
    [
      "chat",
      { messages: [{ role: "user", content: "x", extra: 1 }] },
      "messages[0].extra",
      "unknown_parameter",
    ],
    ["chat", { messages: [] }, "messages", "invalid_value"],
    ["chat", { messages: "hi" }, "messages", "invalid_type"],
    ["chat", { messages: [{ role: "user" }] }, "messages[0].content", "invalid_value"],
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
    ["chat", { metadata: { a: 1 } }, "metadata.a", "invalid_type"],
    ["chat", { model: "" }, "model", "invalid_value"],
    ["chat", { user: "x".repeat(513) }, "user", "invalid_value"],
    ["completions", { prompt: undefined }, "prompt", "invalid_value"],
    ["completions", { prompt: null }, "prompt", "invalid_value"],
    ["completions", { prompt: [] }, "prompt", "invalid_value"],
    ["completions", { prompt: Array.from({ length: 65 }, () => "x") }, "prompt", "invalid_value"],
    ["completions", { prompt: [1, -2] }, "prompt", "invalid_value"],
    ["completions", { prompt: ["x", 5] }, "prompt", "invalid_value"],
    ["completions", { logprobs: 21 }, "logprobs", "invalid_value"],
    ["responses", { input: undefined }, "input", "invalid_value"],
    ["responses", { input: [] }, "input", "invalid_value"],
    ["responses", { input: [{ role: "robot", content: "x" }] }, "input[0].role", "invalid_value"],
    ["responses", { max_output_tokens: 0 }, "max_output_tokens", "invalid_value"],
    ["responses", { top_k: 1.5 }, "top_k", "invalid_type"],
    ["responses", { repetition_penalty: 0 }, "repetition_penalty", "invalid_value"],
    ["responses", { messages: [] }, "messages", "unknown_parameter"],
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

  it("names the bound", () => {
    expect(check("chat", { n: 99 })!.message).toContain("16");
    expect(check("chat", { temperature: 3 })!.message).toContain("2");
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
    const error = check("chat", { [`\u0000${"x".repeat(1000)}`]: 1 })!;
    expect(error.param!.length).toBeLessThan(100);
    expect(error.param).toMatch(/^\?x+$/);
  });

  it("has a body to look at", () => {
    for (const body of [undefined, null, 5, "x", []]) {
      expect(() => validate(ChatBody, body)).toThrow("The request");
    }
  });
});
