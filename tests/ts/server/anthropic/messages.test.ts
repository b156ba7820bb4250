/** POST /v1/messages over HTTP: streams, whole messages, refusals, and what ends badly. */
import { describe, expect, it } from "vitest";
import { ServingError } from "../../../../src-ts/errors.js";
import {
  AnthropicError,
  AnthropicMessage,
  AnthropicStreamEvent,
} from "../../../../src-ts/protocol/anthropic.js";
import { hello, helloParts, hold, say } from "../../support/scripted-engine.js";
import { eventually, parseSse, startServer } from "../../support/test-server.js";

const path = "/v1/messages";
const messages = [{ role: "user", content: "Hi" }];
const body = { max_tokens: 20, messages };
const usage = {
  input_tokens: 4,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 3,
  output_tokens: helloParts.length,
};

const eventsIn = (text: string) =>
  parseSse(text).events.map(({ data }) => AnthropicStreamEvent.parse(JSON.parse(data)));

async function refused(answer: globalThis.Response) {
  const { error, request_id } = AnthropicError.parse(await answer.json());
  expect(request_id).toBe(answer.headers.get("request-id"));
  return { status: answer.status, ...error };
}

describe("a message", () => {
  it("is answered whole", async () => {
    const { post, engine } = await startServer();
    const answer = await post(path, { ...body, model: "second" });
    expect(answer.headers.get("request-id")).toMatch(/^req_/);
    expect(AnthropicMessage.parse(await answer.json())).toEqual({
      id: engine.runs[0]!.log.id,
      type: "message",
      role: "assistant",
      model: "second",
      content: [{ type: "text", text: hello }],
      stop_reason: "end_turn",
      stop_sequence: null,
      usage,
    });
    expect(engine.runs[0]!.log.id).toMatch(/^msg_/);
  });

  it("is streamed", async () => {
    const { post } = await startServer();
    const answer = await post(path, { ...body, stream: true });
    expect(answer.headers.get("content-type")).toContain("text/event-stream");
    const events = eventsIn(await answer.text());
    expect(events.map(({ type }) => type)).toEqual([
      "message_start",
      "content_block_start",
      ...helloParts.map(() => "content_block_delta"),
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
    expect(events[0]).toMatchObject({
      message: { content: [], stop_reason: null, usage: { input_tokens: 4 } },
    });
    expect(events.at(-2)).toMatchObject({ delta: { stop_reason: "end_turn" }, usage });
  });

  it("is kept alive by pings while its prefill is silent", async () => {
    const { post, engine } = await startServer({ limits: { sseKeepAliveMs: 10 } });
    engine.script = hold;
    const answer = post(path, { ...body, stream: true });
    await eventually(() => engine.runs.length === 1);
    const reader = (await answer).body!.getReader();
    let text = "";
    while ((text.match(/event: ping/g) ?? []).length < 2)
      text += new TextDecoder().decode((await reader.read()).value);
    engine.runs[0]!.emit("late");
    engine.runs[0]!.end({ kind: "stop" });
    for (let next = await reader.read(); !next.done; next = await reader.read())
      text += new TextDecoder().decode(next.value);
    const types = eventsIn(text).map(({ type }) => type);
    expect(types.slice(0, 2)).toEqual(["message_start", "ping"]);
    expect(types.filter((type) => type === "message_start")).toHaveLength(1);
    expect(types.at(-1)).toBe("message_stop");
  });

  it("ends its request when its reader leaves, streamed or not", async () => {
    const { post, engine } = await startServer();
    engine.script = hold;
    for (const stream of [true, false]) {
      const gone = new AbortController();
      const runs = engine.runs.length;
      post(path, { ...body, stream }, { signal: gone.signal }).catch(() => {});
      await eventually(() => engine.runs.length > runs);
      gone.abort();
      await eventually(() => engine.runs.at(-1)!.log.ending?.kind === "cancelled");
    }
  });
});

describe("a message that ends badly", () => {
  const failed = { kind: "failed", code: "worker_crashed", message: "It died." } as const;

  it.each([true, false])("before its first output has a status (stream: %s)", async (stream) => {
    const { post, engine } = await startServer();
    engine.script = say([], failed);
    expect(await refused(await post(path, { ...body, stream }))).toMatchObject({
      status: 500,
      type: "api_error",
      message: "It died.",
    });
    engine.script = say([], { kind: "expired" });
    expect(await refused(await post(path, { ...body, stream }))).toMatchObject({
      status: 504,
      type: "timeout_error",
    });
  });

  it("in mid-stream says so, and nothing after it", async () => {
    const { post, engine } = await startServer();
    engine.script = say(["a"], failed);
    const answer = await post(path, { ...body, stream: true });
    const { events } = parseSse(await answer.text());
    expect(events.at(-1)!.event).toBe("error");
    expect(AnthropicError.parse(JSON.parse(events.at(-1)!.data))).toMatchObject({
      error: { type: "api_error", message: "It died." },
      request_id: answer.headers.get("request-id"),
    });
    expect(events.map(({ event }) => event)).not.toContain("message_stop");
  });

  it("because it was cancelled just ends", async () => {
    const { post, engine } = await startServer();
    engine.script = say(["a"], { kind: "cancelled" });
    const text = await (await post(path, { ...body, stream: true })).text();
    expect(eventsIn(text).at(-1)!.type).toBe("content_block_stop");
  });
});

describe("refusals", () => {
  const image = { type: "image", source: { type: "base64", media_type: "image/png", data: "" } };
  const withBlock = (block: object) => ({
    ...body,
    messages: [{ role: "user", content: [block] }],
  });
  const result = { type: "tool_result", tool_use_id: "1", content: [image] };

  it.each([
    [{ messages }, "max_tokens"],
    [{ ...body, max_tokens: 0 }, "max_tokens"],
    [{ max_tokens: 1 }, "messages"],
    [{ ...body, messages: [] }, "messages"],
    [{ ...body, messages: [{ role: "tool", content: "" }] }, "messages[0].role"],
    [{ ...body, temperature: 3 }, "temperature"],
    [{ ...body, stop_sequences: [""] }, "stop_sequences[0]"],
    [{ ...body, thinking: { type: "enabled" } }, "thinking.budget_tokens"],
    [{ ...body, thinking: { type: "much" } }, "thinking.type"],
    [{ ...body, tool_choice: { type: "some" } }, "tool_choice.type"],
    [{ ...body, tools: [{ name: "a" }] }, "tools[0].input_schema"],
    [{ ...body, tools: [{ name: "a b", input_schema: {} }] }, "tools[0].name"],
    [
      { ...body, output_config: { format: { type: "json_schema" } } },
      "output_config.format.schema",
    ],
    [
      { ...body, output_format: { type: "json_schema", schema: { not: {} } } },
      "output_format.schema.not",
    ],
    [withBlock(image), "messages[0].content[0].type"],
    [withBlock({ type: "document" }), "messages[0].content[0].type"],
    [withBlock({ type: "thinking", thinking: "" }), "messages[0].content[0].type"],
    [withBlock(result), "messages[0].content[0].content[0].type"],
    [{ ...body, system: [image] }, "system[0].type"],
    [{ ...body, system: 3 }, "system"],
    [{ ...body, thread: { type: "create" } }, "thread"],
    [{ ...body, thread: { type: "continue", previous_message_id: "msg_1" } }, "thread"],
    [{ ...body, previous_response_id: "resp_1" }, "previous_response_id"],
    [{ ...body, conversation: "c" }, "conversation"],
    [{ ...body, json_schema: {} }, "json_schema"],
    [{ ...body, documents: [{}] }, "documents"],
    [{ ...body, continue_final_message: true }, "continue_final_message"],
  ])("%j", async (wrong, param) => {
    const { post } = await startServer();
    for (const stream of [true, false])
      expect(await refused(await post(path, { ...wrong, stream }))).toMatchObject({
        status: 400,
        type: "invalid_request_error",
        param,
        message: expect.stringContaining(param),
      });
  });

  it("of what an engine refuses name this API's fields", async () => {
    const { post, engine } = await startServer();
    const options = { code: "context_length_exceeded", status: 400, param: "input" };
    engine.refusal = new ServingError("input is too long", options);
    expect(await refused(await post(path, body))).toMatchObject({
      param: "messages",
      message: "messages is too long",
    });
    engine.refusal = new ServingError("full", { code: "queue_full", status: 429, retryAfterS: 3 });
    const full = await post(path, body);
    expect(full.headers.get("retry-after")).toBe("3");
    expect(await refused(full)).toMatchObject({ status: 429, type: "rate_limit_error" });
  });

  it("before there is a message have the same shape", async () => {
    const { post, get } = await startServer({ apiKeys: ["key"], limits: { bodyBytesMax: 1000 } });
    const headers = { "x-api-key": "key" };
    expect(await refused(await post(path, body))).toMatchObject({
      status: 401,
      type: "authentication_error",
    });
    const large = { ...body, system: "a".repeat(2000) };
    expect(await refused(await post(path, large, { headers }))).toMatchObject({
      status: 413,
      type: "request_too_large",
    });
    expect(await refused(await post(path, "{", { headers }))).toMatchObject({ status: 400 });
    expect(await refused(await get(path, { headers }))).toMatchObject({ status: 405 });
    expect((await post(path, body, { headers })).status).toBe(200);
  });
});

describe("what is not followed", () => {
  const sent = {
    ...body,
    metadata: { user_id: "u" },
    betas: ["a-2025"],
    invented: 1,
    output_config: { effort: "low" },
    system: [{ type: "text", text: "s", cache_control: { type: "ephemeral" } }],
    tools: [{ type: "web_search_20250305", name: "web_search" }],
    service_tier: "auto",
  };

  it("is named", async () => {
    const { post } = await startServer();
    const answer = await post(path, sent);
    expect(answer.status).toBe(200);
    const ignored = answer.headers.get("x-mlx-serving-ignored")!.split(", ");
    expect(ignored.toSorted()).toEqual(
      ["metadata", "betas", "invented", "output_config.effort", "tools"].toSorted(),
    );
  });

  it("is refused by a strict server", async () => {
    const { post } = await startServer({ strict: true });
    expect(await refused(await post(path, sent))).toMatchObject({ status: 400 });
    expect((await post(path, body)).status).toBe(200);
  });
});
