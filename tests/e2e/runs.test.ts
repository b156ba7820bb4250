/** Runs of the client on the real server with a scripted model: undisturbed, under kills, over cut sockets. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import {
  type Client,
  connect,
  type RunEvent,
  type ToolContext,
} from "../../src-ts/client/index.js";
import { type ConnectionPlan, startChaosProxy } from "../support/chaos-proxy.js";
import { type ServerProcess, startServer } from "./support/server.js";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

const call = (name: string, args: object) =>
  `<tool_call>${JSON.stringify({ name, arguments: args })}</tool_call>`;

const forecast = { city: "Oslo", days: 3, note: "x".repeat(40) };
const script = [
  {
    when: "the weather?",
    say: `<think>I have to look it up.</think>Let me see.${call("weather", forecast)}${call("weather", { ...forecast, city: "Rome" })}`,
  },
  { when: "grey", say: `<think>Now I know.</think>${call("note", { text: "Grey in both." })}` },
  { when: "noted", say: "Grey in Oslo and in Rome. ".repeat(3).trim() },
  { when: "wrong", say: `${call("wether", {})}${call("weather", { town: "Oslo" })}` },
  { when: "not valid", say: "I was wrong." },
  { when: "as JSON", say: '{"sky":"grey","since":"2026-01-01"}' },
].map((entry) => ({ ...entry, repeat: true }));
const answer = "Grey in Oslo and in Rome. Grey in Oslo and in Rome. Grey in Oslo and in Rome.";

let folder: string;
let server: ServerProcess;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mlx-serving-runs-"));
  const path = join(folder, "script.json");
  await writeFile(path, JSON.stringify(script));
  const speed = ["--fake-tokens-per-second", "400"];
  server = await startServer({ flags: ["--engine", "fake", "--fake-script", path, ...speed] });
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** Every call that was run, by its id. */
type Ran = Map<string, number>;

function weatherRun(client: Client, ran: Ran, options: { onTool?: () => Promise<void> } = {}) {
  const count = async ({ callId }: ToolContext) => {
    ran.set(callId, (ran.get(callId) ?? 0) + 1);
    await options.onTool?.();
  };
  return client.run({
    input: "What is the weather?",
    tools: [
      {
        name: "weather",
        description: "The weather of a city",
        parameters: z.object({ city: z.string(), days: z.int().min(1), note: z.string() }),
        execute: async ({ city, days }, context) => {
          await count(context);
          return { city, days, sky: "grey" };
        },
      },
      {
        name: "note",
        parameters: z.object({ text: z.string() }),
        execute: async (_, context) => {
          await count(context);
          return "noted";
        },
      },
    ],
  });
}

/** What of a run no fault must change. */
async function outcomeOf(
  run: ReturnType<typeof weatherRun>,
  onEvent?: (event: RunEvent) => unknown,
) {
  let text = "";
  const args = new Map<string, string>();
  for await (const event of run) {
    if (event.type === "response.output_text.delta") text += event.delta;
    if (event.type === "response.function_call_arguments.delta")
      args.set(event.item_id, (args.get(event.item_id) ?? "") + event.delta);
    await onEvent?.(event);
  }
  const final = await run.final();
  return {
    streamed: text,
    streamedArguments: [...args.values()],
    text: final.text,
    turns: final.turns,
    // In the order in which they ended.
    calls: final.toolCalls.map(({ call, output }) => [call.name, output]).sort(),
    types: final.history.map(({ type }) => type),
    usage: final.usage?.output_tokens,
  };
}

const expected = {
  streamed: `Let me see.${answer}`,
  streamedArguments: [
    JSON.stringify(forecast),
    JSON.stringify({ ...forecast, city: "Rome" }),
    JSON.stringify({ text: "Grey in both." }),
  ],
  text: answer,
  turns: 3,
  calls: [
    ["note", "noted"],
    ["weather", '{"city":"Oslo","days":3,"sky":"grey"}'],
    ["weather", '{"city":"Rome","days":3,"sky":"grey"}'],
  ],
};
const once = (ran: Ran) => expect([...ran.values()]).toEqual([1, 1, 1]);

describe("a run", () => {
  it("streams its calls and answers, and gives a history that a request takes", async () => {
    await using client = await connect(server.url);
    const ran: Ran = new Map();
    const run = weatherRun(client, ran);
    const { types, usage, ...outcome } = await outcomeOf(run);
    expect(outcome).toEqual(expected);
    expect(types.filter((type) => type === "function_call_output")).toHaveLength(3);
    expect(types.filter((type) => type === "reasoning")).toHaveLength(2);
    expect(usage).toBeGreaterThan(0);
    once(ran);
    const { history } = run.progress();
    const more = client.respond({
      input: [...history, { role: "user", content: "And now?" }],
      max_output_tokens: 5,
    });
    expect((await more.final()).text).not.toBe("");
  });

  it("tells the model what it did wrong", async () => {
    await using client = await connect(server.url);
    const parameters = z.object({ city: z.string() });
    const tools = [{ name: "weather", parameters, execute: () => "never" }];
    const { text, toolCalls } = await client.run({ input: "wrong", tools }).final();
    expect(text).toBe("I was wrong.");
    expect(toolCalls.map(({ error }) => error?.code)).toEqual([
      "unknown_tool",
      "invalid_arguments",
    ]);
  });

  it("gives a typed value, transformed", async () => {
    await using client = await connect(server.url);
    const format = z.object({
      sky: z.enum(["grey", "blue"]),
      since: z.iso.date().transform((text) => new Date(text)),
    });
    const { parsed } = await client.respond({ input: "as JSON", text: { format } }).final();
    expect(parsed?.since.getUTCFullYear()).toBe(2026);
  });
});

async function killWorker(): Promise<void> {
  const { pid } = await server.until(({ pid, state }) => pid !== undefined && state === "ready");
  process.kill(pid!, "SIGKILL");
}

describe("a worker that is killed in the middle of a call", () => {
  it("changes nothing, and no tool runs twice", async () => {
    await using client = await connect(server.url);
    let migrations = 0;
    client.on("migrated", () => {
      migrations += 1;
    });
    const ran: Ran = new Map();
    const killed = new Set<string>();
    const {
      types: _,
      usage: __,
      ...outcome
    } = await outcomeOf(weatherRun(client, ran), async (event) => {
      if (event.type !== "response.function_call_arguments.delta") return;
      if (killed.has(event.item_id)) return;
      killed.add(event.item_id);
      await killWorker();
    });
    expect(outcome).toEqual(expected);
    expect(killed.size).toBe(3);
    expect(migrations).toBeGreaterThan(0);
    once(ran);
  });

  it("or while tools run", async () => {
    await using client = await connect(server.url);
    const ran: Ran = new Map();
    let kills = 0;
    const onTool = async () => {
      kills += 1;
      if (kills !== 2) await killWorker();
    };
    const {
      types: _,
      usage: __,
      ...outcome
    } = await outcomeOf(weatherRun(client, ran, { onTool }));
    expect(outcome).toEqual(expected);
    once(ran);
  });
});

describe("a socket that breaks in the middle of a call", () => {
  /** How the connections went, and bytes that come however many tokens come at once. */
  const through = async (planOf: (connection: number) => ConnectionPlan) => {
    await using proxy = await startChaosProxy(server.url, planOf);
    const headers = { Host: new URL(server.url).host };
    const client = await connect(proxy.url, { headers });
    const ran: Ran = new Map();
    let bytesMin = 0;
    const {
      types: _,
      usage: __,
      ...outcome
    } = await outcomeOf(weatherRun(client, ran), (event) => {
      if ("sequence_number" in event && !event.type.endsWith(".delta"))
        bytesMin += JSON.stringify(event).length;
    });
    const connections = [...proxy.connections];
    await client.close();
    expect(outcome).toEqual(expected);
    once(ran);
    return { connections, bytesMin };
  };

  it.each([
    ["ended", "cutAfterBytes"],
    ["reset", "resetAfterBytes"],
  ] as const)("changes nothing, wherever it is: %s", async (_, how) => {
    const { bytesMin } = await through(() => ({}));
    for (const share of [0.15, 0.3, 0.45, 0.6, 0.75, 0.9]) {
      const toClient = { [how]: Math.floor(bytesMin * share) };
      const { connections } = await through((connection) => (connection === 0 ? { toClient } : {}));
      expect(connections[0]!.wasBroken).toBe(true);
      expect(connections.length).toBeGreaterThan(1);
    }
  });
});

describe("an abort in the middle of a tool", () => {
  it("ends the run at once, and leaves nothing behind", async () => {
    await using client = await connect(server.url);
    const controller = new AbortController();
    let signal: AbortSignal | undefined;
    const tools = [
      {
        name: "weather",
        execute: (_: unknown, context: ToolContext) => {
          signal = context.signal;
          controller.abort();
          return new Promise(() => {});
        },
      },
    ];
    const run = client.run({ input: "And the weather?", tools }, { signal: controller.signal });
    await expect(run.final()).rejects.toMatchObject({ name: "AbortError" });
    expect(signal?.aborted).toBe(true);
    await server.until(({ running, queued }) => running + queued === 0);
  });
});
