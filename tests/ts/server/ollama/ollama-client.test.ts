/** Ollama's official client, streaming and not, against answers that a test writes. */
import { Ollama, type Tool } from "ollama";
import { expect, it } from "vitest";
import { hello, hold, type Script, say } from "../../support/scripted-engine.js";
import { eventually, startServer } from "../../support/test-server.js";

const messages = [{ role: "user", content: "What is the weather in Paris?" }];
const model = "org/first";
const tools: Tool[] = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "The weather of a city",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];

/** Thinks, says something, calls. */
const agent: Script = (run) => {
  run.start();
  setImmediate(() => {
    run.speak(["reasoning", "They ask for weather."]);
    run.speak(["content", "Let me look."]);
    run.speak(["call", "get_weather"], ["arguments", '{"city": "Pa']);
    run.speak(["arguments", 'ris"}'], ["callEnd", true]);
    run.end({ kind: "toolCalls" });
  });
};

async function setup(config = {}, key = "none") {
  const started = await startServer(config);
  const headers = { authorization: `Bearer ${key}` };
  return { ...started, client: new Ollama({ host: started.url, headers }) };
}

it("chats and generates, streamed and whole", async () => {
  const { client } = await setup();
  const whole = await client.chat({ model, messages });
  expect([whole.message.content, whole.done_reason]).toEqual([hello, "stop"]);
  let text = "";
  for await (const part of await client.chat({ model, messages, stream: true }))
    text += part.message.content;
  expect(text).toBe(hello);
  expect((await client.generate({ model, prompt: "Hi" })).response).toBe(hello);
  text = "";
  for await (const part of await client.generate({ model, prompt: "Hi", stream: true }))
    text += part.response;
  expect(text).toBe(hello);
});

it("calls tools, and goes on with their results", async () => {
  const { client, engine } = await setup();
  engine.script = agent;
  const { message } = await client.chat({ model, messages, tools, think: true });
  expect(message).toMatchObject({ thinking: "They ask for weather.", content: "Let me look." });
  expect(message.tool_calls).toMatchObject([
    { function: { name: "get_weather", arguments: { city: "Paris" } } },
  ]);
  const result = { role: "tool", tool_name: "get_weather", content: "Sunny" };
  engine.script = say(["It is sunny."]);
  const went = [...messages, message, result];
  const next = await client.chat({ model, messages: went, tools });
  expect(next.message.content).toBe("It is sunny.");
  const roles = ["user", "assistant", "tool"].map((role) => ({ role }));
  expect(engine.submissions[1]!.input).toMatchObject({ kind: "chat", messages: roles });
});

it("gets calls in a stream", async () => {
  const { client, engine } = await setup();
  engine.script = agent;
  const calls = [];
  for await (const { message } of await client.chat({ model, messages, tools, stream: true }))
    calls.push(...(message.tool_calls ?? []));
  expect(calls).toMatchObject([{ function: { arguments: { city: "Paris" } } }]);
});

it("lists and shows models, and finds the version", async () => {
  const { client } = await setup();
  expect((await client.list()).models.map(({ name }) => name)).toContain(model);
  expect((await client.show({ model })).capabilities).toContain("tools");
  expect((await client.version()).version).toMatch(/^\d+\.\d+\.\d+$/);
});

it("is told what is wrong, before a stream and in it", async () => {
  const { client, engine } = await setup();
  const missing = client.show({ model: "none" });
  await expect(missing).rejects.toMatchObject({ status_code: 404, error: expect.any(String) });
  engine.script = say(["a"], { kind: "failed", code: "generation_error", message: "It failed." });
  const stream = await client.chat({ model, messages, stream: true });
  const read = async () => {
    for await (const _part of stream);
  };
  await expect(read()).rejects.toThrow("It failed.");
});

it("cancels a stream that it breaks off", async () => {
  const { client, engine } = await setup();
  engine.script = hold;
  const asked = client.chat({ model, messages, stream: true });
  await eventually(() => engine.runs.length === 1);
  engine.runs[0]!.emit("first");
  const stream = await asked;
  for await (const _part of stream) {
    stream.abort();
    break;
  }
  await eventually(() => engine.runs[0]!.log.ending?.kind === "cancelled");
});

it("opens with its key", async () => {
  const { client, url } = await setup({ apiKeys: ["secret"] }, "secret");
  expect((await client.chat({ model, messages })).message.content).toBe(hello);
  const other = new Ollama({ host: url });
  await expect(other.chat({ model, messages })).rejects.toMatchObject({ status_code: 401 });
});
