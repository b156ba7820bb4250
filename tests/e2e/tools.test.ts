/** The embedded model calls what it must, in every API, and goes on in the same call when its worker is killed. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { connect } from "../../src-ts/client/index.js";
import { type ServerProcess, startServer } from "./support/server.js";

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const parameters = {
  type: "object",
  properties: {
    city: { type: "string", minLength: 40, maxLength: 60 },
    days: { type: "integer", minimum: 1, maximum: 7 },
  },
  required: ["city", "days"],
  additionalProperties: false,
};
const prompt = "Hi.";
const own = { type: "function" as const, name: "look", parameters };
const other = { type: "function" as const, name: "send", parameters: { type: "object" } };
const inChat = ({ name, parameters }: { name: string; parameters: object }) => ({
  type: "function",
  function: { name, parameters },
});

let server: ServerProcess;
beforeAll(async () => {
  server = await startServer({ flags: ["--max-batch", "1"] });
});
afterAll(() => server?.[Symbol.asyncDispose]());

// biome-ignore lint/suspicious/noExplicitAny: bodies of three APIs
async function post(path: string, body: object): Promise<{ status: number; body: any }> {
  const headers = { "content-type": "application/json", "anthropic-version": "2023-06-01" };
  const answer = await fetch(new URL(path, server.url), {
    method: "POST",
    headers,
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json() };
}

function checkArguments(value: unknown): void {
  const { city, days, ...rest } = value as Record<string, unknown>;
  expect(rest).toEqual({});
  expect(String(city).length).toBeGreaterThanOrEqual(40);
  expect([1, 2, 3, 4, 5, 6, 7]).toContain(days);
}

describe("a forced call", () => {
  it("of a chat", async () => {
    const { body } = await post("/v1/chat/completions", {
      messages: [{ role: "user", content: prompt }],
      tools: [own, other].map(inChat),
      tool_choice: { type: "function", function: { name: "look" } },
      temperature: 1,
      seed: 3,
    });
    const [{ message, finish_reason }] = body.choices;
    expect(finish_reason).toBe("tool_calls");
    expect(message.content ?? "").toBe("");
    expect(message.tool_calls).toHaveLength(1);
    expect(message.tool_calls[0].function.name).toBe("look");
    checkArguments(JSON.parse(message.tool_calls[0].function.arguments));
  });

  it("of Anthropic's Messages", async () => {
    const { body } = await post("/v1/messages", {
      messages: [{ role: "user", content: prompt }],
      tools: [{ name: "look", input_schema: parameters }],
      tool_choice: { type: "any", disable_parallel_tool_use: true },
      max_tokens: 120,
    });
    expect(body.stop_reason).toBe("tool_use");
    expect(body.content).toEqual([expect.objectContaining({ type: "tool_use", name: "look" })]);
    checkArguments(body.content[0].input);
  });

  it("of a response, over HTTP and on a socket, and when its worker is killed in the middle of it", async () => {
    // Long enough that it is not over before the kill reaches its worker.
    const city = { type: "string", minLength: 200, maxLength: 240 };
    const create = {
      input: prompt,
      tools: [
        { ...own, parameters: { ...parameters, properties: { ...parameters.properties, city } } },
      ],
      tool_choice: "required" as const,
      parallel_tool_calls: false,
      temperature: 1,
      seed: 5,
    };
    const { body } = await post("/v1/responses", create);
    const [whole] = body.output;
    expect(whole).toMatchObject({ type: "function_call", name: "look", status: "completed" });
    checkArguments(JSON.parse(whole.arguments));
    expect(JSON.parse(whole.arguments).city.length).toBeGreaterThanOrEqual(200);

    await using client = await connect(server.url);
    const stream = client.respond(create);
    let killed = false;
    for await (const { type } of stream) {
      if (type !== "response.function_call_arguments.delta" || killed) continue;
      killed = true;
      const { pid } = await server.worker();
      process.kill(pid!, "SIGKILL");
    }
    const { response } = await stream.final();
    expect(killed).toBe(true);
    expect((await server.worker()).restarts).toBe(1);
    expect(response.status).toBe("completed");
    expect(response.output).toEqual([
      expect.objectContaining({ type: "function_call", arguments: whole.arguments }),
    ]);
  });
});

it("in auto a turn with tools and a schema is one of them", async () => {
  const schema = { type: "object", properties: { a: { type: "integer" } }, required: ["a"] };
  const { body } = await post("/v1/responses", {
    input: prompt,
    tools: [own],
    text: { format: { type: "json_schema", name: "x", schema } },
  });
  const [item] = body.output;
  if (item.type === "function_call") checkArguments(JSON.parse(item.arguments));
  else expect(JSON.parse(item.content[0].text).a).toEqual(expect.any(Number));
});

it("what can't be kept to is refused where it is forced, and else named", async () => {
  const odd = { type: "function", name: "odd", parameters: { ...parameters, not: {} } };
  const messages = [{ role: "user", content: prompt }];
  const refused = await post("/v1/chat/completions", {
    messages,
    tools: [inChat(odd)],
    tool_choice: "required",
  });
  expect(refused).toMatchObject({
    status: 400,
    body: { error: { param: "tools[0].function.parameters.not", code: "unsupported_parameter" } },
  });
  const answer = await fetch(new URL("/v1/chat/completions", server.url), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ messages, tools: [inChat(odd)], max_tokens: 1 }),
  });
  expect(answer.status).toBe(200);
  expect(answer.headers.get("x-mlx-serving-ignored")).toBe("tools[0].function.parameters.not");
});
