/** What a request over HTTP may go on from, and what it says of what it can't. */
import OpenAI from "openai";
import { describe, expect, it } from "vitest";
import { unpackTokens } from "../../../src-ts/encoding/tokens.js";
import { isResponseEcho } from "../../../src-ts/server/render/echo.js";
import { hello, hold, say } from "../support/scripted-engine.js";
import { startServer, type TestServer } from "../support/test-server.js";

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

async function create({ post }: TestServer, fields: object, init: RequestInit = {}) {
  const answer = await post("/v1/responses", { input: "hi", ...fields }, init);
  // biome-ignore lint/suspicious/noExplicitAny: an answer, or an error
  return { status: answer.status, body: (await answer.json()) as any };
}

function read({ engine }: TestServer, index = -1) {
  const input = engine.submissions.at(index)!.input;
  if (input.kind !== "chat") throw new TypeError("no chat");
  return input;
}

describe("a response", () => {
  it("begins with what the one before it read and said, and with its tokens", async () => {
    const server = await startServer();
    const first = await create(server, { input: "one", instructions: "Be brief." });
    const { body } = await create(server, { input: "two", previous_response_id: first.body.id });
    expect(body.previous_response_id).toBe(first.body.id);
    const { messages, previous } = read(server);
    expect(messages).toEqual([user("one"), assistant(hello), user("two")]);
    const { promptTokens, tokens } = server.engine.runs[0]!.log;
    expect([...unpackTokens(previous!)]).toEqual([...promptTokens, ...tokens]);
  });

  it("keeps nothing else of it", async () => {
    const server = await startServer();
    const tools = [{ type: "function", name: "look" }];
    const first = await create(server, { tools, instructions: "A", metadata: { a: "b" } });
    const { body } = await create(server, {
      previous_response_id: first.body.id,
      instructions: "B",
    });
    expect(read(server)).not.toHaveProperty("tools");
    expect(read(server).messages[0]).toEqual({ role: "system", content: "B" });
    expect(body).toMatchObject({ instructions: "B", tools: [], metadata: {} });
  });

  it("goes on with calls, their outputs and thoughts", async () => {
    const server = await startServer();
    server.engine.script = (run) => {
      run.start();
      run.speak(["reasoning", "so"], ["call", "look"], ["arguments", '{"a":1}'], ["callEnd", true]);
      run.end({ kind: "toolCalls" });
    };
    const tools = [{ type: "function", name: "look" }];
    const first = await create(server, { tools });
    const call_id = first.body.output[1].call_id;
    const output = { type: "function_call_output", call_id, output: "x" };
    const next = { tools, previous_response_id: first.body.id };
    expect((await create(server, { ...next, input: [output] })).status).toBe(200);
    expect(read(server).messages).toMatchObject([
      user("hi"),
      {
        ...assistant(""),
        reasoning_content: "so",
        tool_calls: [{ id: call_id, function: { name: "look", arguments: '{"a":1}' } }],
      },
      { role: "tool", tool_call_id: call_id, content: "x" },
    ]);
    const other = await create(server, { ...next, input: [{ ...output, call_id: "call_x" }] });
    expect(other).toMatchObject({
      status: 400,
      body: { error: { param: "input[0].call_id", code: "invalid_value" } },
    });
  });

  it("leaves out a call that was broken off", async () => {
    const server = await startServer();
    server.engine.script = (run) => {
      run.start();
      run.speak(["content", "I look"], ["call", "look"], ["arguments", '{"a":']);
      run.end({ kind: "length" });
    };
    const first = await create(server, { tools: [{ type: "function", name: "look" }] });
    expect(first.body.status).toBe("incomplete");
    await create(server, { previous_response_id: first.body.id });
    expect(read(server).messages).toEqual([user("hi"), assistant("I look"), user("hi")]);
  });

  it("may add nothing of its own, and needs an input if it begins", async () => {
    const server = await startServer();
    const first = await create(server, {});
    const { body, status } = await create(server, {
      input: undefined,
      previous_response_id: first.body.id,
    });
    expect([status, body.status]).toEqual([200, "completed"]);
    expect(read(server).messages).toEqual([user("hi"), assistant(hello)]);
    for (const previous_response_id of [undefined, null]) {
      const { body } = await create(server, { input: undefined, previous_response_id });
      expect(body.error).toMatchObject({ code: "invalid_type", message: "input is required." });
    }
  });

  it("is one of many that go on from the same one", async () => {
    const server = await startServer();
    const { body } = await create(server, {});
    const all = ["a", "b", "c"].map((input) =>
      create(server, { input, previous_response_id: body.id }),
    );
    for (const { status } of await Promise.all(all)) expect(status).toBe(200);
    const [, a, b] = server.engine.submissions;
    expect(a!.conversation!.before).toBe(b!.conversation!.before);
  });

  it("goes on though those before its predecessor are deleted", async () => {
    const server = await startServer();
    const one = await create(server, { input: "one" });
    const two = await create(server, { input: "two", previous_response_id: one.body.id });
    await fetch(`${server.url}/v1/responses/${one.body.id}`, { method: "DELETE" });
    const next = { input: "three", previous_response_id: two.body.id };
    expect((await create(server, next)).status).toBe(200);
    expect(read(server).messages.map(({ content }) => content)).toEqual([
      "one",
      hello,
      "two",
      hello,
      "three",
    ]);
  });

  it("ends a chain of 300", async () => {
    const server = await startServer();
    server.engine.script = (run) => {
      run.start();
      run.emit("x");
      run.end({ kind: "stop" });
    };
    let last = (await create(server, {})).body.id;
    for (let turn = 1; turn < 300; turn++)
      last = (await create(server, { previous_response_id: last })).body.id;
    expect(read(server).messages).toHaveLength(599);
    expect(server.engine.submissions.at(-1)!.conversation!.count).toBe(599);
  });
});

describe("there is nothing to go on from in", () => {
  const refused = (code: string) => ({
    status: 400,
    body: { error: { code, param: "previous_response_id", type: "invalid_request_error" } },
  });

  it("what was never there, is deleted or not stored", async () => {
    const server = await startServer();
    const { body: unstored } = await create(server, { store: false });
    const { body: deleted } = await create(server, {});
    await fetch(`${server.url}/v1/responses/${deleted.id}`, { method: "DELETE" });
    for (const id of ["resp_0", "chatcmpl_1", "\u202e", unstored.id, deleted.id]) {
      const answer = await create(server, { previous_response_id: id });
      expect(answer).toMatchObject(refused("previous_response_not_found"));
    }
  });

  it("another key's", async () => {
    const server = await startServer({ apiKeys: ["one", "two"] });
    const by = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
    const { body } = await create(server, {}, by("one"));
    const next = { previous_response_id: body.id };
    expect(await create(server, next, by("two"))).toMatchObject(
      refused("previous_response_not_found"),
    );
    expect((await create(server, next, by("one"))).status).toBe(200);
  });

  it("a chat", async () => {
    const server = await startServer();
    await server.post("/v1/chat/completions", { messages: [user("hi")] });
    const { id, echo } = server.engine.runs[0]!.log;
    expect(isResponseEcho(echo)).toBe(false);
    expect(await create(server, { previous_response_id: id })).toMatchObject(
      refused("previous_response_not_found"),
    );
  });

  it("one that runs, until it is cancelled", async () => {
    const server = await startServer();
    server.engine.script = hold;
    const { body } = await create(server, { background: true });
    const next = { previous_response_id: body.id };
    expect(await create(server, next)).toMatchObject(refused("previous_response_in_progress"));
    server.engine.runs[0]!.emit("half");
    await server.post(`/v1/responses/${body.id}/cancel`, "");
    server.engine.script = say(["x"]);
    expect((await create(server, next)).status).toBe(200);
    expect(read(server).messages).toEqual([user("hi"), assistant("half"), user("hi")]);
  });

  it.each([
    { kind: "failed", code: "worker_crashed", message: "m" } as const,
    { kind: "expired" } as const,
  ])("one that ended as $kind", async (ending) => {
    const server = await startServer();
    server.engine.script = (run) => {
      run.start();
      run.emit("half");
      run.end(ending);
    };
    const { body } = await create(server, {});
    expect(body.status).toBe("failed");
    expect(await create(server, { previous_response_id: body.id })).toMatchObject(
      refused("previous_response_failed"),
    );
  });

  it("one that is kept without its input", async () => {
    const server = await startServer();
    server.engine.script = (run) => run.end({ kind: "stop" });
    const log = (await server.engine.submit({
      input: { kind: "text", text: "" },
      echo: { kind: "response" },
      store: true,
      idPrefix: "resp",
      owner: "open",
    })) as { id: string };
    const answer = await create(server, { previous_response_id: log.id });
    expect(answer).toMatchObject(refused("previous_response_not_found"));
    expect(answer.body.error.message).toContain("another version");
  });

  it.each([7, {}, [], "", "x".repeat(513), true])("%j, which is no id", async (id) => {
    const server = await startServer();
    const { status, body } = await create(server, { previous_response_id: id });
    expect([status, body.error.param]).toEqual([400, "previous_response_id"]);
  });
});

describe("OpenAI's client", () => {
  it("goes on, and pages through what was read", async () => {
    const server = await startServer();
    const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
    const model = "org/first";
    let previous_response_id: string | null = null;
    for (const input of ["one", "two", "three"])
      previous_response_id = (await client.responses.create({ model, input, previous_response_id }))
        .id;
    const texts: string[] = [];
    const list = client.responses.inputItems.list(previous_response_id!, {
      limit: 2,
      order: "asc",
    });
    for await (const item of list)
      if (item.type === "message")
        texts.push(...item.content.map((part) => ("text" in part ? part.text : "")));
    expect(texts).toEqual(["one", hello, "two", hello, "three"]);
  });

  it("refers to items of what was read as to those of what was said", async () => {
    const server = await startServer();
    const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
    const model = "org/first";
    const { id } = await client.responses.create({ model, input: "one" });
    const { data } = await client.responses.inputItems.list(id);
    const input = [
      { type: "item_reference" as const, id: data[0]!.id! },
      { role: "user" as const, content: "two" },
    ];
    await client.responses.create({ model, input });
    expect(read(server).messages).toEqual([user("one"), user("two")]);
  });
});

describe("input_items", () => {
  it.each([
    "limit=0",
    "limit=101",
    "limit=x",
    "order=up",
    "after=msg_nowhere",
    "before=msg_nowhere",
    "after=",
  ])("of %s are refused by the field", async (query) => {
    const server = await startServer();
    const { body } = await create(server, {});
    const answer = await server.get(`/v1/responses/${body.id}/input_items?${query}`);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: { param: query.split("=")[0] } });
  });

  it("of what isn't there, or has none, are 404", async () => {
    const server = await startServer();
    const none = await server.get("/v1/responses/resp_0/input_items");
    expect(none.status).toBe(404);
    expect(await none.json()).toMatchObject({ error: { code: "response_not_found" } });
    const { id } = await server.engine.submit({
      ...{ input: { kind: "text", text: "" }, echo: { kind: "response" }, idPrefix: "resp" },
      ...{ store: true, owner: "open" },
    });
    const old = await server.get(`/v1/responses/${id}/input_items`);
    expect(old.status).toBe(404);
    expect(await old.json()).toMatchObject({ error: { code: "input_items_not_found" } });
  });
});
