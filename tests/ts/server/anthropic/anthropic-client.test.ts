/** Anthropic's official client, streaming and not, against answers that a test writes. */
import Anthropic, {
  AuthenticationError,
  BadRequestError,
  NotFoundError,
  RateLimitError,
} from "@anthropic-ai/sdk";
import { describe, expect, it } from "vitest";
import { ServingError } from "../../../../src-ts/errors.js";
import { hello, hold, type Script, say } from "../../support/scripted-engine.js";
import { eventually, startServer } from "../../support/test-server.js";

const messages = [{ role: "user" as const, content: "What is the weather in Paris?" }];
const body = { model: "org/first", max_tokens: 50, messages };
const tools: Anthropic.Tool[] = [
  {
    name: "get_weather",
    description: "The weather of a city",
    input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
];

/** Thinks, says something, calls twice. */
const agent: Script = (run) => {
  run.start();
  setImmediate(() => {
    run.speak(["reasoning", "They ask "]);
    run.speak(["reasoning", "for weather."]);
    run.speak(["content", "Let me look."]);
    run.speak(["call", "get_weather"], ["arguments", '{"city"']);
    run.speak(["arguments", ': "Paris"}'], ["callEnd", true]);
    run.speak(["call", "get_weather"], ["arguments", "{}"], ["callEnd", true]);
    run.end({ kind: "toolCalls" });
  });
};

async function setup(config = {}, apiKey = "none") {
  const started = await startServer(config);
  const client = new Anthropic({ baseURL: started.url, apiKey, maxRetries: 0 });
  return { ...started, client };
}

function expectAgent({ content, stop_reason }: Anthropic.Message): void {
  expect(stop_reason).toBe("tool_use");
  expect(content).toMatchObject([
    { type: "thinking", thinking: "They ask for weather.", signature: expect.stringMatching(/./) },
    { type: "text", text: "Let me look." },
    { type: "tool_use", name: "get_weather", input: { city: "Paris" } },
    { type: "tool_use", name: "get_weather", input: {} },
  ]);
  const ids = content.flatMap((block) => (block.type === "tool_use" ? [block.id] : []));
  expect(new Set(ids).size).toBe(2);
}

describe("the official client", () => {
  it.each([true, false])(
    "runs tools, streamed: %s, with all that was said before",
    async (stream) => {
      const { client, engine } = await setup();
      engine.script = (run) => (engine.runs.length === 1 ? agent(run) : say(["Sunny."])(run));
      const [{ name, input_schema }] = tools as [Anthropic.Tool];
      const run = async ({ city }: { city?: string }) => `Fine in ${city ?? "town"}`;
      const tool = {
        type: "custom" as const,
        name,
        input_schema,
        run,
        parse: (x: unknown) => x as object,
      };
      const runner = client.beta.messages.toolRunner({ ...body, stream, tools: [tool] });
      const { content } = await runner.runUntilDone();
      expect(content).toMatchObject([{ type: "text", text: "Sunny." }]);
      expect(engine.runs).toHaveLength(2);
      const [, second] = engine.runs;
      const roles = ["user", "assistant", "tool", "tool"].map((role) => ({ role }));
      expect(second!.submission.input).toMatchObject({ kind: "chat", messages: roles });
    },
  );

  it("gets a message", async () => {
    const { client } = await setup();
    const message = await client.messages.create(body);
    expect(message.content).toMatchObject([{ type: "text", text: hello }]);
    expect(message._request_id).toMatch(/^req_/);
  });

  it("streams one, with its own accumulator too", async () => {
    const { client } = await setup();
    const types: string[] = [];
    for await (const event of await client.messages.create({ ...body, stream: true }))
      types.push(event.type);
    expect([types[0], types.at(-1)]).toEqual(["message_start", "message_stop"]);
    const stream = client.messages.stream(body);
    expect(await stream.finalText()).toBe(hello);
    const { usage, stop_reason } = await stream.finalMessage();
    expect(stop_reason).toBe("end_turn");
    expect(usage).toMatchObject({ cache_read_input_tokens: 3, input_tokens: 4 });
  });

  it("gets thoughts and calls, streamed as they are whole", async () => {
    const { client, engine } = await setup();
    engine.script = agent;
    expectAgent(await client.messages.create({ ...body, tools }));
    const stream = client.messages.stream({ ...body, tools });
    const json: string[] = [];
    stream.on("inputJson", (part) => json.push(part));
    expectAgent(await stream.finalMessage());
    expect(json.join("")).toBe('{"city": "Paris"}{}');
  });

  it("sends back what it got, with results", async () => {
    const { client, engine } = await setup();
    engine.script = agent;
    const { content } = await client.messages.create({ ...body, tools });
    engine.script = say(["Sunny."]);
    const results = content.flatMap((block): Anthropic.ToolResultBlockParam[] =>
      block.type === "tool_use"
        ? [{ type: "tool_result", tool_use_id: block.id, content: "sunny" }]
        : [],
    );
    const answer = await client.messages.create({
      ...body,
      tools,
      messages: [...messages, { role: "assistant", content }, { role: "user", content: results }],
    });
    expect(answer.content).toMatchObject([{ text: "Sunny." }]);
    expect(engine.submissions[1]!.input).toMatchObject({
      messages: [
        { role: "user" },
        {
          role: "assistant",
          content: "Let me look.",
          reasoning_content: "They ask for weather.",
          tool_calls: [{ function: { arguments: '{"city":"Paris"}' } }, {}],
        },
        { role: "tool", content: "sunny" },
        { role: "tool", content: "sunny" },
      ],
    });
  });

  it("counts tokens, and finds models", async () => {
    const { client } = await setup();
    const { model, messages } = body;
    expect(await client.messages.countTokens({ model, messages })).toEqual({ input_tokens: 7 });
    const ids: string[] = [];
    for await (const { id } of client.models.list()) ids.push(id);
    expect(ids).toEqual(["org/first", "second"]);
    expect((await client.models.retrieve("second")).display_name).toBe("second");
  });

  it("cancels a stream that it breaks off", async () => {
    const { client, engine } = await setup();
    engine.script = hold;
    const stream = client.messages.create({ ...body, stream: true });
    await eventually(() => engine.runs.length === 1);
    engine.runs[0]!.emit("first");
    for await (const _event of await stream) break;
    await eventually(() => engine.runs[0]!.log.ending?.kind === "cancelled");
  });

  it("knows errors for what they are", async () => {
    const { client, engine } = await setup();
    const wrong = client.messages.create({ ...body, max_tokens: 0 });
    await expect(wrong).rejects.toBeInstanceOf(BadRequestError);
    await expect(client.models.retrieve("none")).rejects.toBeInstanceOf(NotFoundError);
    engine.refusal = new ServingError("full", { code: "queue_full", status: 429 });
    await expect(client.messages.create(body)).rejects.toBeInstanceOf(RateLimitError);
  });

  it("is told of a failure in mid-stream", async () => {
    const { client, engine } = await setup();
    engine.script = say(["a"], { kind: "failed", code: "generation_error", message: "It failed." });
    const failed = client.messages.stream(body).finalMessage();
    await expect(failed).rejects.toThrow("It failed.");
  });

  it("opens with its key", async () => {
    const { client } = await setup({ apiKeys: ["secret"] }, "secret");
    expect((await client.messages.create(body)).content).toHaveLength(1);
    const other = new Anthropic({ baseURL: client.baseURL, apiKey: "wrong", maxRetries: 0 });
    await expect(other.messages.create(body)).rejects.toBeInstanceOf(AuthenticationError);
  });
});
