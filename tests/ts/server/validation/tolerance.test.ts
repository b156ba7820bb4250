import { describe, expect, it } from "vitest";
import { isServingError, type ServingError } from "../../../../src-ts/errors.js";
import {
  ChatBody,
  CompletionBody,
  limits,
  ResponseBody,
  ResponseObject,
} from "../../../../src-ts/protocol/index.js";
import { tolerate } from "../../../../src-ts/server/validation/tolerance.js";
import { startServer } from "../../support/test-server.js";
import { openSocket } from "../../support/test-socket.js";

const user = { role: "user", content: "hi" };
const bodies = {
  chat: { path: "/v1/chat/completions", schema: ChatBody, base: { messages: [user] } },
  completions: { path: "/v1/completions", schema: CompletionBody, base: { prompt: "hi" } },
  responses: { path: "/v1/responses", schema: ResponseBody, base: { input: "hi" } },
};
type Api = keyof typeof bodies;
const apis = Object.keys(bodies) as Api[];

function ignored(api: Api, fields: object): readonly string[] {
  const { schema, base } = bodies[api];
  return tolerate(schema, { ...base, ...fields }, false).ignored;
}

function refusal(api: Api, fields: object): ServingError | undefined {
  const { schema, base } = bodies[api];
  try {
    tolerate(schema, { ...base, ...fields }, true);
    return undefined;
  } catch (error) {
    if (isServingError(error)) return error;
    throw error;
  }
}

/** Fields, what is said to be ignored, and what a strict server blames. */
type Case = [Api, Record<string, unknown>, string, string?];

const said = { role: "assistant", content: "hello" };
const hints: Case[] = [
  ...apis.flatMap((api): Case[] => [
    [api, { user: "somebody" }, "user"],
    [api, { user: 5 }, "user"],
    [api, { safety_identifier: "x".repeat(600) }, "safety_identifier"],
    [api, { prompt_cache_key: "k" }, "prompt_cache_key"],
    [api, { prompt_cache_retention: "24h" }, "prompt_cache_retention"],
    [api, { prompt_cache_options: { mode: "explicit" } }, "prompt_cache_options"],
    [api, { service_tier: "flex" }, "service_tier"],
    [api, { service_tier: ["what"] }, "service_tier"],
    [api, { moderation: { model: "m" } }, "moderation"],
    [api, { client_metadata: { a: "b" } }, "client_metadata"],
    [
      api,
      { stream: true, stream_options: { include_obfuscation: true } },
      "stream_options.include_obfuscation",
    ],
  ]),
  ["chat", { store: true }, "store"],
  ["chat", { metadata: { a: 1 } }, "metadata"],
  ["chat", { metadata: "x" }, "metadata"],
  ["chat", { reasoning_effort: "high" }, "reasoning_effort"],
  ["chat", { verbosity: "low" }, "verbosity"],
  ["chat", { prediction: { type: "content", content: "x" } }, "prediction"],
  ["responses", { reasoning: { effort: "low" } }, "reasoning.effort"],
  ["responses", { reasoning: { effort: "none", summary: "auto" } }, "reasoning.summary"],
  ["responses", { reasoning: { generate_summary: "x" } }, "reasoning.generate_summary"],
  ["responses", { reasoning: "high" }, "reasoning"],
  ["responses", { tools: [{ type: "web_search" }] }, "tools", "tools[0]"],
  ["chat", { tools: [{ type: "web_search_preview" }] }, "tools", "tools[0]"],
  ["responses", { text: { verbosity: "low" } }, "text.verbosity"],
  ["responses", { truncation: "auto" }, "truncation"],
  ["responses", { context_management: [{ type: "compaction" }] }, "context_management"],
  ["responses", { include: ["reasoning.encrypted_content"] }, "include", "include[0]"],
  [
    "responses",
    { include: ["message.output_text.logprobs", "file_search_call.results"] },
    "include",
    "include[1]",
  ],
];

const unknown: Case[] = [
  ...apis.flatMap((api): Case[] => [
    [api, { foo: 1 }, "foo"],
    [api, { ignore_eos: true }, "ignore_eos"],
    [api, { extra_body: { deep: { deeper: [1, 2] } } }, "extra_body"],
    [api, { constructor: 1 }, "constructor"],
    [api, { hasOwnProperty: {} }, "hasOwnProperty"],
    [api, { stream: true, stream_options: { every: 5 } }, "stream_options.every"],
  ]),
  ["completions", { chat_template_kwargs: { a: 1 } }, "chat_template_kwargs"],
  ["chat", { response_format: { type: "text", x: 1 } }, "response_format.x"],
  ["chat", { messages: [{ ...user, extra: 1 }] }, "messages[].extra", "messages[0].extra"],
  [
    "chat",
    { messages: [user, { ...said, thoughts: "hm" }] },
    "messages[].thoughts",
    "messages[1].thoughts",
  ],
  [
    "chat",
    { messages: [{ role: "user", content: [{ type: "text", text: "x", cache_control: {} }] }] },
    "messages[].content[].cache_control",
    "messages[0].content[0].cache_control",
  ],
  ["responses", { input: [{ ...user, weight: 1 }] }, "input[].weight", "input[0].weight"],
  [
    "responses",
    { input: [{ role: "user", content: [{ type: "input_text", text: "x", mark: 1 }] }] },
    "input[].content[].mark",
    "input[0].content[0].mark",
  ],
  ["responses", { reasoning: { budget: 1 } }, "reasoning.budget"],
  ["responses", { text: { format: { type: "text" }, tone: "x" } }, "text.tone"],
  ["responses", { messages: [] }, "messages"],
];

describe("what is not followed", () => {
  it.each([...hints, ...unknown])("%s %j is ignored, and named %s", (api, fields, name) => {
    expect(ignored(api, fields)).toEqual([name]);
  });

  it.each(hints)("%s %j is refused by a strict server", (api, fields, name, param = name) => {
    const error = refusal(api, fields);
    expect(error).toMatchObject({ status: 400, code: "unsupported_parameter", param });
    expect(error!.message).toContain("--strict");
  });

  it.each(unknown)("%s %j is unknown to a strict server", (api, fields, name, param = name) => {
    expect(refusal(api, fields)).toMatchObject({ status: 400, code: "unknown_parameter", param });
  });
});

describe("what is served, or says nothing, is not named", () => {
  const silent: [Api, object][] = [
    ...apis.flatMap((api): [Api, object][] => [
      [api, { user: null, service_tier: "auto", client_metadata: {}, moderation: null }],
      [api, { prompt_cache_retention: "in_memory", prompt_cache_options: {} }],
      [api, { tools: [], tool_choice: "auto", parallel_tool_calls: false, functions: null }],
      [api, { top_k: 5, min_p: 0.1, repetition_penalty: 1.1, seed: 1, stop: ["x"] }],
      [api, { max_tokens: 5, max_completion_tokens: 5, max_output_tokens: 5 }],
      [api, { logit_bias: { "5": 1 }, response_format: { type: "text" }, modalities: ["text"] }],
    ]),
    ["chat", { store: false, reasoning_effort: "none", verbosity: "medium", metadata: {} }],
    ["chat", { chat_template_kwargs: { enable_thinking: false, deep: { list: [null] } } }],
    [
      "chat",
      {
        messages: [
          { ...user, name: null },
          { ...said, refusal: null, annotations: [1] },
        ],
      },
    ],
    ["responses", { metadata: { a: "b" }, truncation: "disabled", reasoning: {}, text: {} }],
    ["responses", { include: ["message.output_text.logprobs"], context_management: [] }],
    ["responses", { background: true, max_tool_calls: 3, chat_template_kwargs: { a: [1] } }],
    [
      "responses",
      {
        input: [
          {
            type: "message",
            id: "msg_1",
            status: "completed",
            phase: "final_answer",
            role: "assistant",
            content: [{ type: "output_text", text: "x", annotations: [{}], logprobs: [{}] }],
          },
        ],
      },
    ],
  ];
  it.each(silent)("%s %j", (api, fields) => {
    expect(ignored(api, fields)).toEqual([]);
    expect(refusal(api, fields)).toBeUndefined();
  });

  it.each(apis)("null of an unknown name in %s, but a strict server knows its names", (api) => {
    expect(ignored(api, { foo: null })).toEqual([]);
    expect(refusal(api, { foo: null })).toMatchObject({ param: "foo" });
  });
});

describe("the names", () => {
  it("stand for a field once, however often it comes", () => {
    const messages = Array.from({ length: 500 }, () => ({ ...user, weight: 1, extra: 2 }));
    expect(ignored("chat", { messages })).toEqual(["messages[].weight", "messages[].extra"]);
  });

  it("are few, and say so", () => {
    const many = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`f${i}`, 1]));
    const names = ignored("chat", many);
    expect(names).toHaveLength(limits.ignoredFieldsMax + 1);
    expect(names.at(-1)).toBe("...");
    const exactly = Object.fromEntries(Object.entries(many).slice(0, limits.ignoredFieldsMax));
    expect(ignored("chat", exactly)).toHaveLength(limits.ignoredFieldsMax);
  });

  it.each([
    ["a line end", "a\r\nset-cookie: x=1", "a??set-cookie:?x?1"],
    ["a comma", "a, b", "a??b"],
    ["a point", "a.b", "a?b"],
    ["brackets", "a[0]", "a?0?"],
    ["other letters", "größe", "gr??e"],
    ["an emoji", "x😀", "x??"],
    ["nothing", "", "?"],
    ["a null character", "\u0000", "?"],
    ["what ends a list", "...", "???"],
    ["length", "x".repeat(1000), "x".repeat(64)],
  ])("hold nothing of a client's key that a header can't: %s", (_name, key, shown) => {
    expect(ignored("chat", { [key]: 1 })).toEqual([shown]);
  });
});

describe("over HTTP", () => {
  it.each(apis)("%s: the header names them, streamed or not, and the log once", async (api) => {
    const { post, logs } = await startServer();
    const { path, base } = bodies[api];
    for (const stream of [false, true]) {
      const answer = await post(path, { ...base, stream, foo: 1, service_tier: "flex", user: "u" });
      expect(answer.status).toBe(200);
      await answer.text();
      expect(answer.headers.get("x-mlx-serving-ignored")).toBe("foo, service_tier, user");
    }
    expect(logs.filter((line) => line.includes("fields ignored"))).toHaveLength(2);
  });

  it("there is no header where nothing is ignored", async () => {
    const { post } = await startServer();
    const answer = await post("/v1/responses", { input: "hi", metadata: { a: "b" } });
    expect(answer.headers.has("x-mlx-serving-ignored")).toBe(false);
  });

  it("the header is a valid one whatever the keys are, and a page may read it", async () => {
    const origin = "https://app.example";
    const { post } = await startServer({ allowedOrigins: [origin] });
    const keys = ["a\r\nb: c", "größe", "😀", "\u007f", "x".repeat(5000)];
    const fields = Object.fromEntries(keys.map((key) => [key, 1]));
    const answer = await post("/v1/responses", { input: "hi", ...fields }, { headers: { origin } });
    expect(answer.status).toBe(200);
    const value = answer.headers.get("x-mlx-serving-ignored")!;
    expect(value).toMatch(/^[\x21-\x7e, ]+$/);
    expect(value.split(", ")).toHaveLength(keys.length);
    expect(answer.headers.get("access-control-expose-headers")).toContain("x-mlx-serving-ignored");
  });

  it("an agent's first request is served", async () => {
    const { post } = await startServer();
    const answer = await post("/v1/responses", {
      input: "hi",
      max_output_tokens: 2,
      reasoning: { summary: "auto" },
      include: ["reasoning.encrypted_content"],
      prompt_cache_key: "k",
      client_metadata: { a: "b" },
      text: { verbosity: "low" },
      parallel_tool_calls: true,
      store: false,
    });
    expect(answer.status).toBe(200);
    expect(ResponseObject.parse(await answer.json()).prompt_cache_key).toBe("k");
    expect(answer.headers.get("x-mlx-serving-ignored")).toBe(
      "reasoning.summary, include, prompt_cache_key, client_metadata, text.verbosity",
    );
  });

  it("of what is repeated only what fits is", async () => {
    const { post } = await startServer();
    const answer = await post("/v1/responses", {
      input: "hi",
      user: { name: "x" },
      safety_identifier: "s".repeat(513),
      prompt_cache_key: "s".repeat(512),
    });
    expect(ResponseObject.parse(await answer.json())).toMatchObject({
      user: null,
      safety_identifier: null,
      prompt_cache_key: "s".repeat(512),
    });
  });

  it("a strict server asks whether a field like it was meant", async () => {
    const { post } = await startServer({ strict: true });
    const messages = [{ role: "user", content: "hi" }];
    for (const [path, body, field, meant] of [
      ["/v1/chat/completions", { messages }, "temprature", "temperature"],
      ["/v1/responses", { input: "hi" }, "max_output_token", "max_output_tokens"],
      ["/v1/messages", { messages, max_tokens: 1 }, "stop_sequence", "stop_sequences"],
    ] as const) {
      const answer = await post(path, { ...body, [field]: 1 });
      expect(await answer.text(), path).toContain(`${field}. Did you mean ${meant}?`);
    }
  });

  it("a strict server refuses by name, and serves what it serves", async () => {
    const { post } = await startServer({ strict: true });
    for (const api of apis) {
      const { path, base } = bodies[api];
      const answer = await post(path, { ...base, foo: 1 });
      expect(answer.status).toBe(400);
      expect(await answer.json()).toMatchObject({
        error: { code: "unknown_parameter", param: "foo", message: "Unknown parameter: foo." },
      });
      expect((await post(path, { ...base, user: "u" })).status).toBe(400);
      expect((await post(path, { ...base, seed: 1, tools: [], user: null })).status).toBe(200);
    }
  });

  it("what is wrong is said before what is ignored", async () => {
    const { post } = await startServer({ strict: true });
    const answer = await post("/v1/responses", { foo: 1, input: "hi", temperature: 9 });
    expect(await answer.json()).toMatchObject({ error: { param: "temperature" } });
  });

  it("parameters of a query are hints too", async () => {
    const { post, get } = await startServer();
    const { id } = (await (await post("/v1/responses", { input: "hi" })).json()) as { id: string };
    const answer = await get(
      `/v1/responses/${id}?include_obfuscation=true&include=a&include=b&unknown=1`,
    );
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-mlx-serving-ignored")).toBe(
      "include_obfuscation, include, unknown",
    );
  });
});

describe("what other servers were reported for", () => {
  /** vllm-project/vllm#10463, anomalyco/opencode#43089: a client's own fields on messages were 400. */
  const marks = {
    id: 1947269257,
    opts: { visible: false },
    agent: "cli",
    reasoning: null,
    messageId: "m-1",
    traceId: ["t"],
    usage: { total: 5 },
    extra_fields: {},
  };

  it.each([
    ["/v1/chat/completions", { messages: [{ ...user, ...marks }, { ...said, ...marks }, user] }],
    ["/v1/responses", { input: [{ ...user, ...marks }, { ...said, ...marks }, user] }],
    [
      "/v1/responses",
      {
        input: [
          { ...said, ...marks, id: null, status: "done", phase: 5 },
          { ...user, type: "message" },
        ],
      },
    ],
    [
      "/v1/responses",
      {
        input: [
          {
            role: "assistant",
            content: [{ type: "output_text", text: "x", annotations: null, logprobs: "none" }],
          },
          user,
        ],
      },
    ],
  ])("a client's own fields on messages: %s %j", async (path, body) => {
    const { post, engine } = await startServer();
    const answer = await post(path, body);
    expect(answer.status).toBe(200);
    const sent = engine.submissions[0]!.input as { messages: object[] };
    for (const message of sent.messages) expect(Object.keys(message)).toEqual(["role", "content"]);
  });

  /** cubist38/mlx-openai-server#279, raullenchai/Rapid-MLX#387: they were dropped without a word. */
  it.each([
    ["/v1/chat/completions", { messages: [user] }],
    ["/v1/responses", { input: "hi" }],
  ])("arguments of the template arrive by %s", async (path, body) => {
    const { post, engine } = await startServer();
    const templateArgs = { enable_thinking: false, preserve_thinking: null, depth: { a: [1] } };
    const answer = await post(path, { ...body, chat_template_kwargs: templateArgs });
    expect(answer.status).toBe(200);
    expect(engine.submissions[0]!.input).toMatchObject({ kind: "chat", templateArgs });
    await post(path, { ...body, chat_template_kwargs: null });
    expect(engine.submissions[1]!.input).not.toHaveProperty("templateArgs");
  });

  it("arguments of the template arrive over WebSocket", async () => {
    const { url, engine } = await startServer();
    const socket = await openSocket(url);
    socket.create({ chat_template_kwargs: { enable_thinking: false } });
    await socket.ended();
    expect(engine.submissions[0]!.input).toMatchObject({
      templateArgs: { enable_thinking: false },
    });
  });

  /** yigit353/langchain-qwq#47: another place for the same. It is not served, and says so. */
  it("the same at the top level is named", () => {
    expect(ignored("chat", { enable_thinking: false })).toEqual(["enable_thinking"]);
  });
});

describe("over WebSocket", () => {
  const fields = { reasoning: { summary: "auto" }, foo: 1, service_tier: "auto" };

  it("the first event names them for who wants notices, and no other does", async () => {
    const { url, logs } = await startServer();
    const socket = await openSocket(url, { query: "?events=mlx_serving" });
    socket.create(fields);
    await socket.ended();
    const [created, ...others] = socket.events;
    expect(created).toMatchObject({
      type: "response.created",
      "mlx_serving:ignored": ["reasoning.summary", "foo"],
    });
    for (const event of others) expect(event).not.toHaveProperty("mlx_serving:ignored");
    expect(logs.filter((line) => line.includes("fields ignored"))).toHaveLength(1);
  });

  it("names a budget of reasoning that its model can't keep", async () => {
    const { url, engine } = await startServer();
    engine.unbounded = true;
    const socket = await openSocket(url, { query: "?events=mlx_serving" });
    socket.create({ foo: 1, reasoning: { max_tokens: 3 }, thinking_token_budget: 3 });
    await socket.ended();
    expect(socket.events[0]).toMatchObject({
      "mlx_serving:ignored": ["foo", "reasoning.max_tokens", "thinking_token_budget"],
    });
  });

  it("other sockets see no field of ours", async () => {
    const { url } = await startServer();
    const socket = await openSocket(url);
    socket.create(fields);
    await socket.ended();
    expect(socket.events[0]).not.toHaveProperty("mlx_serving:ignored");
  });

  it("nothing is said where nothing is ignored, nor by a replay", async () => {
    const { url } = await startServer();
    const socket = await openSocket(url, { query: "?events=mlx_serving" });
    socket.create({ temperature: 0 });
    await socket.ended();
    expect(socket.events[0]).not.toHaveProperty("mlx_serving:ignored");
    const { id } = socket.events[0]!.response;
    socket.send({
      type: "mlx_serving:response.resume",
      response_id: id,
      starting_after: -1,
      extra: 1,
    });
    await socket.ended(2);
    for (const event of socket.events) expect(event).not.toHaveProperty("mlx_serving:ignored");
  });

  it.each([
    ["response.create", { input: "hi", foo: 1 }, "foo"],
    ["response.create", { input: "hi", reasoning: { effort: "low" } }, "reasoning.effort"],
    ["response.cancel", { response_id: "resp_1", foo: 1 }, "foo"],
    ["mlx_serving:response.resume", { response_id: "r", starting_after: 0, foo: 1 }, "foo"],
  ])("a strict server answers %s %j with an error", async (type, message, param) => {
    const { url } = await startServer({ strict: true });
    const socket = await openSocket(url);
    socket.send({ type, event_id: "e", ...message });
    expect(await socket.type("error")).toMatchObject({
      status: 400,
      event_id: "e",
      error: { param },
    });
  });
});
