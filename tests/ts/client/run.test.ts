import { beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { type Client, type RunEvent, type RunRequest, tool } from "../../../src-ts/client/index.js";
import { answer, begin, called, creates, end, outputOf } from "./support/answers.js";
import { turn, VirtualWorld } from "./support/virtual.js";

let world: VirtualWorld;
let client: Client;
/** Ids of the calls that were run. */
let ran: string[];

const weather = tool({
  name: "weather",
  description: "The weather of a city",
  parameters: z.object({ city: z.string() }),
  execute: ({ city }, { callId }) => {
    ran.push(callId);
    return { city, sky: "grey" };
  },
});
const request = { input: "Oslo?", tools: [weather] };
const asked = { role: "user", content: "Oslo?" };
const oslo = called("call_1", "weather", { city: "Oslo" });
const rome = called("call_2", "weather", { city: "Rome" });
const output = (id: string, city: string) => ({
  type: "function_call_output",
  call_id: id,
  output: JSON.stringify({ city, sky: "grey" }),
});

beforeEach(async () => {
  world = new VirtualWorld();
  client = await world.connect();
  ran = [];
});

const sleepless = { name: "weather", execute: () => new Promise<never>(() => {}) };

describe("a run", () => {
  it("asks, runs what is called, and asks again with all of it", async () => {
    const run = client.run({ ...request, instructions: "Be brief", temperature: 0 });
    const first = await answer(world, 1, { text: "Let me see", calls: [oslo, rome] });
    expect(first).toMatchObject({ input: [asked], instructions: "Be brief", temperature: 0 });
    expect(first.tools).toMatchObject([{ type: "function", name: "weather" }]);
    expect(JSON.stringify(first)).not.toContain("execute");
    world.chance = 0.25;
    const second = await answer(world, 2, { text: "Grey" });
    const history = [
      asked,
      ...outputOf({ text: "Let me see", calls: [oslo, rome] }),
      output("call_1", "Oslo"),
      output("call_2", "Rome"),
    ];
    expect(second).toMatchObject({ instructions: "Be brief", tools: first.tools });
    expect(second.input).toEqual(history);
    const result = await run.final();
    expect(result).toMatchObject({ text: "Grey", turns: 2, calls: [], parsed: null });
    expect(result.history).toEqual([...history, ...outputOf({ text: "Grey" })]);
    expect(result.toolCalls.map(({ call, turn, output }) => [call.name, turn, output])).toEqual([
      ["weather", 1, '{"city":"Oslo","sky":"grey"}'],
      ["weather", 1, '{"city":"Rome","sky":"grey"}'],
    ]);
    expect(result.usage).toEqual({
      input_tokens: 20,
      input_tokens_details: { cached_tokens: 8, cache_write_tokens: 0 },
      output_tokens: 6,
      output_tokens_details: { reasoning_tokens: 2 },
      total_tokens: 26,
    });
    expect(run.ended).toBe(true);
    // A key of its own for each.
    const keys = creates(world).map((create) => create["mlx_serving:idempotency_key"]);
    expect(new Set(keys).size).toBe(2);
  });

  it("tells what happens, in order", async () => {
    const run = client.run(request);
    const events: RunEvent[] = [];
    const reading = (async () => {
      for await (const event of run) events.push(event);
    })();
    await answer(world, 1, { calls: [oslo] });
    await answer(world, 2, { text: "Grey" });
    await reading;
    expect(events.map(({ type }) => type)).toEqual([
      "run.turn.started",
      "response.created",
      "response.completed",
      "run.tool.started",
      "run.tool.ended",
      "run.turn.started",
      "response.created",
      "response.completed",
    ]);
    expect(events[4]).toMatchObject({ turn: 1, outcome: { call: { call_id: "call_1" } } });
    expect(events[5]).toMatchObject({ turn: 2 });
  });

  it("hands its events to a listener", async () => {
    const run = client.run(request);
    const types: string[] = [];
    run.listen(({ type }) => types.push(type));
    await answer(world, 1, { text: "Hello" });
    await run.final();
    expect(types).toEqual(["run.turn.started", "response.created", "response.completed"]);
    expect(() => run[Symbol.asyncIterator]()).toThrow(TypeError);
  });

  it("gives the checked value of its last answer", async () => {
    const format = z.object({ sky: z.enum(["grey", "blue"]) });
    const run = client.run({ ...request, text: { format } });
    const first = await answer(world, 1, { calls: [oslo] });
    expect(first.text).toMatchObject({ format: { type: "json_schema", name: "answer" } });
    await answer(world, 2, { text: '{"sky":"grey"}' });
    const { parsed } = await run.final();
    expect(parsed?.sky).toBe("grey");
  });

  it("takes a history, and goes on from what it gave", async () => {
    const input = [asked, ...outputOf({ text: "Grey" })] as RunRequest["input"];
    const run = client.run({ ...request, input });
    expect(await answer(world, 1, { text: "Yes" })).toMatchObject({ input });
    const { history } = await run.final();
    const next = client.run({ ...request, input: [...history, { role: "user", content: "?" }] });
    const sent = await answer(world, 2, { text: "Yes" });
    expect(sent.input).toEqual([...history, { role: "user", content: "?" }]);
    await next.final();
  });

  it.each<[string, RunRequest["tool_choice"], unknown]>([
    ["required", "required", "auto"],
    ["named", { type: "function", name: "weather" }, "auto"],
    [
      "one of some",
      { type: "allowed_tools", mode: "required", tools: [] },
      { type: "allowed_tools", mode: "auto", tools: [] },
    ],
    ["none", "none", "none"],
  ])("forces a call in its first turn alone: %s", async (_, choice, after) => {
    const run = client.run({ ...request, tool_choice: choice });
    expect(await answer(world, 1, { calls: [oslo] })).toMatchObject({ tool_choice: choice });
    expect(await answer(world, 2, { text: "x" })).toMatchObject({ tool_choice: after });
    await run.final();
  });

  it("tells the model what it did wrong, and goes on", async () => {
    const run = client.run(request, { toolErrors: "raise" });
    const calls = [called("a", "wether"), called("b", "weather", { town: "Oslo" })];
    await answer(world, 1, { calls });
    const { input } = await answer(world, 2, { text: "Sorry" });
    expect((input as object[]).slice(-2)).toMatchObject([
      { call_id: "a", output: "Error: There is no tool named wether. The tools are: weather." },
      { call_id: "b", output: expect.stringMatching(/^Error: .*weather are not valid: city: /) },
    ]);
    expect(ran).toEqual([]);
    expect((await run.final()).toolCalls.map(({ error }) => error?.code)).toEqual([
      "unknown_tool",
      "invalid_arguments",
    ]);
  });

  it("runs no call of an answer that was cut short", async () => {
    const run = client.run(request);
    await answer(world, 1, { text: "I", calls: [oslo], status: "incomplete" });
    const result = await run.final();
    expect(result).toMatchObject({ text: "I", response: { status: "incomplete" }, turns: 1 });
    expect(result.history).toEqual([asked, ...outputOf({ text: "I" })]);
    expect(ran).toEqual([]);
  });
});

describe("a connection that goes", () => {
  it("in the middle of an answer changes nothing, and runs no tool twice", async () => {
    const run = client.run(request);
    const first = await begin(world, 1);
    first.delta("Let me");
    await world.reconnect();
    await turn();
    const [resume] = world.socket.sent;
    expect(resume).toMatchObject({ type: "mlx_serving:response.resume", response_id: "resp_1" });
    const again = new (first.constructor as new (...args: unknown[]) => typeof first)(
      ...[world.socket, "resp_1", resume!.stream_id, 2],
    );
    end(again, { calls: [oslo] });
    await answer(world, 2, { text: "Grey" });
    expect((await run.final()).text).toBe("Grey");
    expect(ran).toEqual(["call_1"]);
  });

  it("while a tool runs keeps the tool, and asks on the next", async () => {
    let finish: (sky: string) => void = () => {};
    const execute = () => new Promise<string>((resolve) => (finish = resolve));
    const run = client.run({ input: "x", tools: [{ name: "weather", execute }] });
    await answer(world, 1, { calls: [oslo] });
    await turn();
    world.socket.close(1006);
    finish("grey");
    await world.reopen();
    const second = await answer(world, 2, { text: "Grey" });
    expect((second.input as object[]).at(-1)).toMatchObject({ output: "grey" });
    expect((await run.final()).toolCalls).toHaveLength(1);
  });

  it("for good fails it, with what it has done", async () => {
    const run = client.run(request);
    await answer(world, 1, { calls: [oslo] });
    await begin(world, 2);
    world.socket.close(1008);
    await expect(run.final()).rejects.toMatchObject({ name: "ConnectionLostError" });
    expect(run.progress().history).toHaveLength(3);
    expect(run.progress().toolCalls).toHaveLength(1);
  });
});

describe("an abort", () => {
  it("in the middle of an answer cancels it on the server", async () => {
    const controller = new AbortController();
    const run = client.run(request, { signal: controller.signal });
    await begin(world, 1);
    await turn();
    controller.abort("enough");
    await expect(run.final()).rejects.toMatchObject({ name: "AbortError", cause: "enough" });
    expect(world.socket.types()).toContain("response.cancel");
  });

  it("in the middle of a tool ends it at once, and asks no more", async () => {
    let signal: AbortSignal | undefined;
    const execute = (_: unknown, context: { signal: AbortSignal }) => {
      signal = context.signal;
      return sleepless.execute();
    };
    const controller = new AbortController();
    const tools = [{ name: "weather", execute }];
    const run = client.run({ input: "x", tools }, { signal: controller.signal });
    await answer(world, 1, { calls: [oslo] });
    await turn();
    controller.abort();
    await expect(run.final()).rejects.toMatchObject({ name: "AbortError" });
    expect(signal!.aborted).toBe(true);
    expect(run.progress()).toMatchObject({ turns: 1, toolCalls: [], history: [{ content: "x" }] });
    await turn();
    expect(creates(world)).toHaveLength(1);
  });

  it("before it began sends nothing", async () => {
    const run = client.run(request, { signal: AbortSignal.abort() });
    await expect(run.final()).rejects.toMatchObject({ name: "AbortError" });
    expect(creates(world)).toEqual([]);
  });

  it("is what leaving the loop and the end of an `await using` are", async () => {
    const left = client.run({ ...request, tools: [sleepless] });
    await answer(world, 1, { calls: [oslo] });
    for await (const { type } of left) if (type === "run.tool.started") break;
    await expect(left.final()).rejects.toMatchObject({ name: "AbortError" });
    const disposed = client.run(request);
    await begin(world, 2);
    await turn();
    await disposed[Symbol.asyncDispose]();
    await expect(disposed.final()).rejects.toMatchObject({ name: "AbortError" });
    expect(world.socket.types().at(-1)).toBe("response.cancel");
  });

  it("comes through to a reader that waits", async () => {
    const controller = new AbortController();
    const run = client.run({ ...request, tools: [sleepless] }, { signal: controller.signal });
    await answer(world, 1, { calls: [oslo] });
    const reading = (async () => {
      for await (const _ of run);
    })();
    await turn();
    controller.abort();
    await expect(reading).rejects.toMatchObject({ name: "AbortError" });
  });
});

describe("limits", () => {
  it("of turns: the last answer's calls are not run", async () => {
    const run = client.run(request, { turnsMax: 2 });
    await answer(world, 1, { calls: [oslo] });
    await answer(world, 2, { text: "More", calls: [rome] });
    await expect(run.final()).rejects.toMatchObject({
      name: "RunLimitError",
      code: "run_limit",
      param: "turnsMax",
      limit: "turnsMax",
      message: "The run came to no answer within 2 turns",
      partial: {
        turns: 2,
        toolCalls: [{ call: { call_id: "call_1" } }],
        history: [asked, {}, output("call_1", "Oslo")],
        usage: { total_tokens: 26 },
        response: { id: "resp_2" },
      },
    });
    expect(ran).toEqual(["call_1"]);
  });

  it("of calls: an answer's calls run all or not at all", async () => {
    const run = client.run(request, { toolCallsMax: 2 });
    await answer(world, 1, { calls: [oslo] });
    await answer(world, 2, { calls: [rome, called("call_3", "weather", { city: "Bonn" })] });
    await expect(run.final()).rejects.toMatchObject({
      limit: "toolCallsMax",
      partial: { toolCalls: [{ call: { call_id: "call_1" } }], response: { id: "resp_2" } },
    });
    expect(ran).toEqual(["call_1"]);
  });

  it("of a tool's time: the model is told", async () => {
    const run = client.run({ ...request, tools: [sleepless] }, { toolTimeoutMs: 50 });
    await answer(world, 1, { calls: [oslo] });
    await turn();
    await world.time.pass(50);
    const { input } = await answer(world, 2, { text: "Too slow" });
    expect((input as object[]).at(-1)).toMatchObject({
      output: "Error: The tool weather did not end within 50 ms.",
    });
    expect((await run.final()).toolCalls[0]!.error?.code).toBe("tool_timeout");
  });
});

describe("an error of a tool, raised", () => {
  it.each([
    ["tool_failed", () => Promise.reject(new RangeError("No such city"))],
    ["tool_timeout", () => new Promise(() => {})],
    ["invalid_tool_output", () => 1n],
  ])("ends the run: %s", async (code, execute) => {
    let other: AbortSignal | undefined;
    const patient = {
      name: "patient",
      timeoutMs: 5000,
      execute: (_: unknown, { signal }: { signal: AbortSignal }) => {
        other = signal;
        return new Promise(() => {});
      },
    };
    const tools = [{ name: "weather", execute }, patient];
    const run = client.run({ input: "x", tools }, { toolErrors: "raise", toolTimeoutMs: 50 });
    await answer(world, 1, { calls: [called("call_0", "patient"), oslo] });
    await turn();
    await world.time.pass(50);
    await expect(run.final()).rejects.toMatchObject({
      name: "RunToolError",
      code,
      cause: { name: "ToolError", code, call: { call_id: "call_1" } },
      partial: { turns: 1, toolCalls: [{ error: { code } }], response: { id: "resp_1" } },
    });
    expect(other!.aborted).toBe(true);
    expect(creates(world)).toHaveLength(1);
  });
});

describe("what is wrong is said before anything is sent", () => {
  it.each<[string, object, object, string]>([
    ["a tool without a name", { tools: [{ execute: () => "" }] }, {}, "tools[0].name"],
    ["two of one name", { tools: [weather, weather] }, {}, "tools[1].name"],
    ["nothing that runs it", { tools: [{ name: "a" }] }, {}, "tools[0].execute"],
    [
      "a date",
      { tools: [{ ...weather, parameters: z.object({ d: z.date() }) }] },
      {},
      "tools[0].parameters.d",
    ],
    ["a format", { text: { format: z.object({ d: z.date() }) } }, {}, "text.format.d"],
    ["a tool's time", { tools: [{ ...weather, timeoutMs: 0 }] }, {}, "tools[0].timeoutMs"],
    ["no turn", {}, { turnsMax: 0 }, "turnsMax"],
    ["half a call", {}, { toolCallsMax: 1.5 }, "toolCallsMax"],
    ["no time", {}, { toolTimeoutMs: -1 }, "toolTimeoutMs"],
    ["none at once", {}, { parallelToolsMax: Number.NaN }, "parallelToolsMax"],
  ])("%s", async (_, body, options, param) => {
    const start = () => client.run({ ...request, ...body } as never, options);
    expect(start).toThrow(expect.objectContaining({ name: "DefinitionError", param }));
    await turn();
    expect(creates(world)).toEqual([]);
  });
});
