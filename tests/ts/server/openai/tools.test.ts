/** Tools and reasoning over HTTP, as the official client asks for them and reads them: its own types compile this. */
import OpenAI from "openai";
import { describe, expect, it } from "vitest";
import { ResponseObject } from "../../../../src-ts/protocol/index.js";
import type { Piece } from "../../../../src-ts/worker/messages.js";
import type { Script } from "../../support/scripted-engine.js";
import { startServer } from "../../support/test-server.js";

const speaking =
  (...turn: Piece[][]): Script =>
  (run) => {
    run.start();
    for (const pieces of turn) run.speak(...pieces);
    run.end({ kind: turn.flat().some(([kind]) => kind === "call") ? "toolCalls" : "stop" });
  };

const calling = speaking(
  [["reasoning", ""]],
  [["reasoning", "Hm."]],
  [["content", "Let me."]],
  [["call", "look"]],
  [["arguments", '{"path":']],
  [
    ["arguments", '"a"}'],
    ["callEnd", true],
    ["call", "run"],
    ["arguments", "ls"],
    ["callEnd", true],
  ],
);

const parameters = { type: "object", properties: { path: { type: "string" } } };
const chatTools: OpenAI.Chat.ChatCompletionTool[] = [
  { type: "function", function: { name: "look", parameters } },
  { type: "custom", custom: { name: "run" } },
];
const tools: OpenAI.Responses.Tool[] = [
  { type: "function", name: "look", parameters, strict: true },
  { type: "custom", name: "run" },
  { type: "web_search" },
];
const messages = [{ role: "user" as const, content: "hi" }];

async function setup(script: Script = calling) {
  const started = await startServer();
  started.engine.script = script;
  const client = new OpenAI({ baseURL: `${started.url}/v1`, apiKey: "none", maxRetries: 0 });
  return { ...started, client };
}

describe("a chat", () => {
  it("has calls and what was thought, and they come as deltas of the same", async () => {
    const { client, engine } = await setup();
    const whole = await client.chat.completions.create({ model: "m", messages, tools: chatTools });
    const own = whole.id.slice("chatcmpl_".length);
    const calls = [
      {
        id: `call_${own}_0`,
        type: "function",
        function: { name: "look", arguments: '{"path":"a"}' },
      },
      { id: `call_${own}_1`, type: "custom", custom: { name: "run", input: "ls" } },
    ];
    expect(whole.choices[0]).toMatchObject({
      finish_reason: "tool_calls",
      message: { content: "Let me.", reasoning_content: "Hm.", tool_calls: calls },
    });
    expect(whole.usage!.completion_tokens_details!.reasoning_tokens).toBe(2);
    engine.script = speaking([
      ["call", "look"],
      ["arguments", '{"path":'],
      ["arguments", '"a"}'],
      ["callEnd", true],
    ]);
    const stream = client.chat.completions.stream({ model: "m", messages, tools: chatTools });
    const [choice] = (await stream.finalChatCompletion()).choices;
    expect(choice).toMatchObject({
      finish_reason: "tool_calls",
      message: { tool_calls: [{ function: { name: "look", arguments: '{"path":"a"}' } }] },
    });
  });

  it("goes on with what tools have put out", async () => {
    const { client, engine } = await setup();
    const next = speaking([["content", "Done."]]);
    const runner = client.chat.completions.runTools({
      model: "m",
      messages,
      tools: [
        {
          type: "function",
          function: {
            name: "look",
            parameters,
            description: "Looks",
            parse: (text: string) => JSON.parse(text) as { path: string },
            function: ({ path }: { path: string }) => {
              engine.script = next;
              return `contents of ${path}`;
            },
          },
        },
      ],
    });
    engine.script = speaking([
      ["call", "look"],
      ["arguments", '{"path":"a"}'],
      ["callEnd", true],
    ]);
    expect(await runner.finalContent()).toBe("Done.");
    const { input } = engine.submissions.at(-1)!;
    expect(input).toMatchObject({
      messages: [
        {},
        { tool_calls: [{ type: "function" }] },
        { role: "tool", content: "contents of a" },
      ],
      tools: { tools: [{ name: "look", parameters }], choice: "auto", parallel: true },
    });
  });
});

describe("a response", () => {
  it("has items, which its events add up to, and repeats what was offered", async () => {
    const { client } = await setup();
    const stream = client.responses.stream({
      model: "m",
      input: "hi",
      tools,
      tool_choice: "required",
    });
    const items: OpenAI.Responses.ResponseOutputItem[] = [];
    let args = "";
    for await (const event of stream) {
      if (event.type === "response.output_item.done") items.push(event.item);
      if (event.type === "response.function_call_arguments.delta") args += event.delta;
    }
    const final = await stream.finalResponse();
    expect(args).toBe('{"path":"a"}');
    expect(items.map(({ type }) => type)).toEqual([
      "reasoning",
      "message",
      "function_call",
      "custom_tool_call",
    ]);
    expect(final).toMatchObject({ status: "completed", tool_choice: "required", output: items });
    expect(final.tools.map(({ type }) => type)).toEqual(["function", "custom"]);
    expect(final.usage!.output_tokens_details.reasoning_tokens).toBe(2);
    const again = await client.responses.retrieve(final.id);
    expect(again.output).toEqual(items);
  });

  it("goes on with its own items, also where they are only named", async () => {
    const { client, engine } = await setup();
    const first = await client.responses.create({ model: "m", input: "hi", tools });
    const [call, run] = first.output.filter((item) => "call_id" in item);
    const outputs = [call, run].map((item): OpenAI.Responses.ResponseInputItem => {
      const type =
        item!.type === "function_call" ? "function_call_output" : "custom_tool_call_output";
      return { type, call_id: (item as { call_id: string }).call_id, output: "x" };
    });
    engine.script = speaking([["content", "Done."]]);
    const whole = [...first.output, ...outputs] as OpenAI.Responses.ResponseInput;
    const named = [
      ...first.output.map(({ id }) => ({ type: "item_reference" as const, id: id! })),
      ...outputs,
    ];
    for (const input of [whole, named]) {
      const next = await client.responses.create({ model: "m", input, tools });
      expect(next.output_text).toBe("Done.");
    }
    const [, ...inputs] = engine.submissions.map(({ input }) => input);
    expect(inputs[1]).toEqual(inputs[0]);
    expect(inputs[0]).toMatchObject({
      messages: [
        { role: "assistant", content: "Let me.", reasoning_content: "Hm." },
        { role: "tool", content: "x" },
        { role: "tool", content: "x" },
      ],
    });
  });

  it("puts the namespace back on a call", async () => {
    const script = speaking([
      ["call", "docs__look"],
      ["arguments", "{}"],
      ["callEnd", true],
    ]);
    const { client } = await setup(script);
    const inside = [{ type: "function" as const, name: "look", parameters, strict: false }];
    const { output, ...rest } = await client.responses.create({
      model: "m",
      input: "hi",
      tools: [{ type: "namespace", name: "docs", description: "Docs", tools: inside }],
    });
    expect(output).toMatchObject([{ type: "function_call", name: "look", namespace: "docs" }]);
    expect(
      ResponseObject.safeParse({ ...rest, output, output_text: undefined }).error?.issues,
    ).toMatchObject([{ code: "unrecognized_keys" }]);
  });

  it("names hosted tools as ignored, and refuses one that is forced", async () => {
    const { client } = await setup();
    const { response } = await client.responses
      .create({ model: "m", input: "hi", tools })
      .withResponse();
    expect(response.headers.get("x-mlx-serving-ignored")).toBe("tools");
    const forced = client.responses.create({
      model: "m",
      input: "hi",
      tools,
      tool_choice: { type: "web_search_preview" },
    });
    await expect(forced).rejects.toMatchObject({ status: 400, param: "tool_choice.type" });
  });
});
