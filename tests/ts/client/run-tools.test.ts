import { describe, expect, it } from "vitest";
import { z } from "zod";
import { type ToolCall, type ToolContext, tool } from "../../../src-ts/client/index.js";
import type { RunEvent, ToolOutcome } from "../../../src-ts/client/run-progress.js";
import { type RunnableTool, ToolRunner } from "../../../src-ts/client/run-tools.js";
import { turn, VirtualTime } from "./support/virtual.js";

const echo = tool({
  name: "echo",
  parameters: z.object({ text: z.string() }),
  execute: ({ text }) => text,
});

function call(name: string, args: unknown = {}, id = "1"): ToolCall {
  const text = typeof args === "string" ? args : JSON.stringify(args);
  const status = "completed" as const;
  return {
    id: `fc_${id}`,
    type: "function_call",
    status,
    call_id: `call_${id}`,
    name,
    arguments: text,
  };
}

function setUp(tools: readonly unknown[], options: object = {}) {
  const time = new VirtualTime();
  const controller = new AbortController();
  const events: RunEvent[] = [];
  const ended: ToolOutcome[] = [];
  const runner = new ToolRunner({
    tools: tools as RunnableTool[],
    toolTimeoutMs: 1000,
    parallelToolsMax: 8,
    after: (ms, run) => time.after(ms, run),
    signal: controller.signal,
    emit: async (event) => void events.push(event),
    ...options,
  });
  const run = (...calls: ToolCall[]) =>
    runner.runAll(calls, 1, async (outcome) => void ended.push(outcome));
  return { time, controller, events, ended, run };
}

const outputs = (outcomes: readonly ToolOutcome[]) => outcomes.map(({ output }) => output);
const sleepless = () => new Promise<never>(() => {});

describe("outputs", () => {
  it.each<[string, unknown, string]>([
    ["text as it is", "sunny", "sunny"],
    ["an object as JSON", { a: [1] }, '{"a":[1]}'],
    ["a number", 4, "4"],
    ["null", null, "null"],
    ["nothing", undefined, ""],
    ["a promise's", Promise.resolve({ b: 1 }), '{"b":1}'],
  ])("are %s", async (_, value, text) => {
    const { run } = setUp([{ name: "a", execute: () => value }]);
    expect(outputs(await run(call("a")))).toEqual([text]);
  });

  it.each<[string, unknown]>([
    ["a circle", circle()],
    ["a bigint", 1n],
  ])("that have no JSON form are an error: %s", async (_, value) => {
    const { run } = setUp([{ name: "a", execute: () => value }]);
    const [outcome] = await run(call("a"));
    expect(outcome!.output).toMatch(/^Error: The output of a has no JSON form/);
    expect(outcome!.error).toMatchObject({ name: "ToolError", code: "invalid_tool_output" });
  });
});

function circle(): object {
  const one: { self?: object } = {};
  one.self = one;
  return one;
}

describe("a call", () => {
  it("gets its arguments checked, its id, its turn and a signal", async () => {
    const seen: [unknown, ToolContext][] = [];
    const execute = (args: unknown, context: ToolContext) => void seen.push([args, context]);
    const parameters = z.object({ n: z.string().transform(Number) });
    const { run, events } = setUp([{ name: "a", parameters, execute }]);
    await run(call("a", { n: "4" }));
    const [[args, context]] = seen as [[unknown, ToolContext]];
    expect(args).toEqual({ n: 4 });
    expect(context).toMatchObject({ callId: "call_1", turn: 1 });
    expect(context.signal.aborted).toBe(false);
    expect(events).toMatchObject([{ type: "run.tool.started", turn: 1, call: { name: "a" } }]);
  });

  it("of a custom tool gets its text", async () => {
    const custom = { type: "custom", name: "shell", execute: (text: string) => `ran ${text}` };
    const { run } = setUp([custom, echo]);
    const made = { id: "x", type: "custom_tool_call", status: "completed", call_id: "c" } as const;
    expect(outputs(await run({ ...made, name: "shell", input: "ls" }))).toEqual(["ran ls"]);
    expect(outputs(await run({ ...made, call_id: "d", name: "echo", input: "ls" }))).toEqual([
      "Error: There is no tool named echo. The tools are: shell, echo.",
    ]);
  });

  it("is made once, however often its id comes", async () => {
    let times = 0;
    const { run, events, ended } = setUp([{ name: "a", execute: () => `${++times}` }]);
    expect(outputs(await run(call("a"), call("a"), call("a", {}, "2")))).toEqual(["1", "1", "2"]);
    expect(outputs(await run(call("a")))).toEqual(["1"]);
    expect(events).toHaveLength(2);
    expect(ended).toHaveLength(2);
  });
});

describe("what goes wrong is told to the model", () => {
  const broken = tool({
    name: "broken",
    parameters: { type: "object" },
    execute: () => {
      throw new RangeError("No such city");
    },
  });

  it.each<[string, ToolCall, string, string]>([
    [
      "a tool that isn't there",
      call("other"),
      "unknown_tool",
      "There is no tool named other. The tools are: echo, broken.",
    ],
    [
      "a tool of a namespace",
      { ...call("echo", { text: "x" }), namespace: "n" } as ToolCall,
      "unknown_tool",
      "There is no tool named echo",
    ],
    [
      "arguments that are no JSON",
      call("echo", '{"text":'),
      "invalid_arguments",
      "they are no JSON object",
    ],
    [
      "arguments that are no object",
      call("echo", "[]"),
      "invalid_arguments",
      "they are no JSON object",
    ],
    ["arguments of another type", call("echo", { text: 1 }), "invalid_arguments", "text: "],
    ["arguments that are missing", call("echo", {}), "invalid_arguments", "text: "],
    ["an exception", call("broken"), "tool_failed", "The tool broken failed: No such city"],
  ])("%s", async (_, made, code, words) => {
    const { run } = setUp([echo, broken]);
    const [outcome] = await run(made);
    expect(outcome!.output).toMatch(/^Error: /);
    expect(outcome!.output).toContain(words);
    expect(outcome!.error).toMatchObject({ name: "ToolError", code, call: made });
  });

  it("what is no Error can be thrown, too", async () => {
    const { run } = setUp([{ name: "a", execute: () => Promise.reject("no") }]);
    expect(outputs(await run(call("a")))).toEqual(["Error: The tool a failed: no"]);
  });
});

describe("time", () => {
  it("ends a tool that never does, and tells it by its signal", async () => {
    let signal: AbortSignal | undefined;
    const execute = (_: unknown, context: ToolContext) => {
      signal = context.signal;
      return sleepless();
    };
    const { run, time } = setUp([{ name: "a", execute }]);
    const running = run(call("a"));
    await time.pass(999);
    expect(signal!.aborted).toBe(false);
    await time.pass(1);
    const [outcome] = await running;
    expect(outcome!.output).toBe("Error: The tool a did not end within 1000 ms.");
    expect(outcome!.error!.code).toBe("tool_timeout");
    expect(signal!.aborted).toBe(true);
  });

  it("is a tool's own where it has one, and may be without end", async () => {
    const quick = { name: "quick", timeoutMs: 10, execute: sleepless };
    const patient = { name: "patient", timeoutMs: Number.POSITIVE_INFINITY, execute: sleepless };
    const { run, time, ended } = setUp([quick, patient]);
    void run(call("quick"), call("patient", {}, "2"));
    await turn();
    await time.pass(10);
    expect(ended.map(({ call }) => call.name)).toEqual(["quick"]);
    await time.pass(1e9);
    expect(ended).toHaveLength(1);
  });

  it("is over for none that has ended", async () => {
    const signals: AbortSignal[] = [];
    const execute = (_: unknown, { signal }: ToolContext) => void signals.push(signal);
    const { run, time, ended } = setUp([{ name: "a", execute }]);
    await run(call("a"));
    expect(time.pending).toBe(0);
    await time.pass(5000);
    expect(signals[0]!.aborted).toBe(false);
    expect(ended).toHaveLength(1);
  });
});

describe("several calls", () => {
  it("run at once up to a limit, and keep their order in the answer", async () => {
    const gates: (() => void)[] = [];
    let running = 0;
    let most = 0;
    const execute = async ({ n }: { n?: number }) => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => gates.push(resolve));
      running -= 1;
      return n;
    };
    const { run } = setUp([{ name: "a", execute }], { parallelToolsMax: 2 });
    const all = run(...[0, 1, 2, 3, 4].map((n) => call("a", { n }, `${n}`)));
    for (let round = 0; round < 6; round += 1) {
      await turn();
      gates.pop()?.();
    }
    expect(outputs(await all)).toEqual(["0", "1", "2", "3", "4"]);
    expect(most).toBe(2);
  });
});

describe("an abort", () => {
  it("ends all at once, tells the tools, and begins no other", async () => {
    const signals: AbortSignal[] = [];
    const execute = (_: unknown, { signal }: ToolContext) => {
      signals.push(signal);
      return sleepless();
    };
    const { run, controller, events } = setUp([{ name: "a", execute }], { parallelToolsMax: 2 });
    const all = run(call("a", {}, "1"), call("a", {}, "2"), call("a", {}, "3"));
    await turn();
    controller.abort(new Error("Enough"));
    await expect(all).rejects.toThrow("Enough");
    await turn();
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
    expect(events).toHaveLength(2);
    await expect(run(call("a", {}, "4"))).rejects.toThrow("Enough");
    expect(signals).toHaveLength(2);
  });

  it("has no say about a tool that fails after it", async () => {
    let fail: (error: Error) => void = () => {};
    const execute = () => new Promise((_, reject) => (fail = reject));
    const { run, controller, ended } = setUp([{ name: "a", execute }]);
    const all = run(call("a"));
    await turn();
    controller.abort(new Error("Enough"));
    fail(new Error("Late"));
    await expect(all).rejects.toThrow("Enough");
    expect(ended).toEqual([]);
  });
});
