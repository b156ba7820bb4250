// The package's other entries: their types are what a program needs, their errors what it can tell apart.
import assert from "node:assert/strict";
import { ConfigError, type RunningServer, type ServeOptions, serve } from "mlx-serving";
import { createResponseStore, type ResponseState } from "mlx-serving/browser";
import {
  argumentsOf,
  type Client,
  connect,
  isClientError,
  type ResponseStream,
  type RunEvent,
  RunLimitError,
  tool,
} from "mlx-serving/client";
import {
  createEngine,
  type Engine,
  type Item,
  type LogEntry,
  type Response,
} from "mlx-serving/engine";
// Its types need no React: that is there for who uses the hook.
import type { UsedResponse } from "mlx-serving/react";
import { z } from "zod";

/** Compiles, and needs a server to run: how an answer is read. */
export async function answer(url: string, signal: AbortSignal): Promise<string> {
  await using client = await connect(url);
  const stream: ResponseStream = client.respond({ input: "Why is the sky blue?" }, { signal });
  for await (const event of stream)
    if (event.type === "response.output_text.delta") process.stdout.write(event.delta);
  const { text, usage } = await stream.final();
  return `${text} (${usage?.output_tokens ?? 0} tokens)`;
}

const weather = tool({
  name: "weather",
  parameters: z.object({ city: z.string() }),
  execute: ({ city }, { signal }) => (signal.aborted ? "" : city.toUpperCase()),
});
/** Compiles, and needs a server to run: tools are typed by their schemas, one by one, and so is the answer. */
export async function packing(client: Client): Promise<string[]> {
  const run = client.run(
    {
      input: "What do I pack?",
      tools: [
        weather,
        { name: "days", parameters: z.object({ n: z.int() }), execute: ({ n }) => n.toFixed() },
        { name: "plain", parameters: { type: "object" }, execute: (all) => Object.keys(all) },
        { type: "custom", name: "shell", execute: (text) => text.trim() },
      ],
      text: { format: z.object({ items: z.array(z.string()) }) },
    },
    { turnsMax: 4, toolErrors: "raise" },
  );
  run.listen((event: RunEvent) => {
    if (event.type === "run.tool.ended") process.stdout.write(event.outcome.output);
  });
  try {
    return (await run.final()).parsed?.items ?? [];
  } catch (error) {
    if (error instanceof RunLimitError) return error.partial.toolCalls.map(({ output }) => output);
    throw error;
  }
}
/** The same by hand. */
export async function cities(client: Client): Promise<string[]> {
  const { calls } = await client.respond({ input: "Where?", tools: [weather] }).final();
  const functions = calls.filter((call) => call.type === "function_call");
  return Promise.all(functions.map(async (call) => (await argumentsOf(weather, call)).city));
}

/** Compiles, and needs a server to run: a store is typed by the schema of its answer, and the hook is a store. */
export async function shown(client: Client, used: UsedResponse): Promise<number> {
  const store = createResponseStore(client, { updates: "event" });
  const leave = store.subscribe(() => process.stdout.write(store.getSnapshot().status));
  const final = await store.send({
    input: "How many?",
    text: { format: z.object({ n: z.int() }) },
  });
  leave();
  await used.send({ input: "Hi" }, { deadlineMs: 1000 });
  const state: ResponseState = used;
  return final?.parsed?.n ?? state.text.length;
}

/** Compiles, and needs Python to run: the server and the engine inside a program. */
export async function embedded(options: ServeOptions): Promise<string> {
  await using server: RunningServer = await serve(options);
  return server.url;
}
export const engineOf = (server: RunningServer): Engine => server.engine;

/** What a log says, entry by entry: text belongs to an item, and items of every kind have their words. */
export async function follow(response: Response): Promise<string[]> {
  const lines: string[] = [];
  for await (const entry of response.read(-1)) lines.push(lineOf(response, entry));
  return lines;
}
function lineOf({ output }: Response, entry: LogEntry): string {
  if (entry.kind === "itemAdded") return `${entry.index}: ${words(entry.item)}`;
  if (entry.kind === "delta")
    return `${words(output[entry.index]!.item)}, ${entry.part}: ${entry.text}`;
  return entry.kind;
}
/** A kind of item that is left out does not compile. */
function words(item: Item): string {
  switch (item.kind) {
    case "message":
    case "reasoning":
      return item.kind;
    case "functionCall":
    case "customToolCall":
      return `${item.name} (${item.callId})`;
    default: {
      const never: never = item;
      return never;
    }
  }
}

await assert.rejects(connect("ws://127.0.0.1:1"), (error) => {
  assert(isClientError(error));
  assert.equal(error.code, "connection_refused");
  return true;
});
const store = createResponseStore("ws://127.0.0.1:1");
assert.equal(await store.send({ input: "Hi" }), undefined);
assert.equal(store.getSnapshot().error?.code, "connection_refused");
await assert.rejects(serve({ port: -1 }), ConfigError);
await assert.rejects(async () => createEngine({ maxBatch: 0 }), ConfigError);
process.stdout.write("entries: alive and well\n");
