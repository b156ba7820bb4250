/** The server's side of a run: answers that call tools, played on a virtual socket. */
import { type Message, Script } from "./fake-server.js";
import type { VirtualSocket, VirtualWorld } from "./virtual.js";
import { turn } from "./virtual.js";

export interface Called {
  id: string;
  name: string;
  arguments: string;
}

export interface Answer {
  text?: string;
  calls?: readonly Called[];
  status?: string;
}

export const called = (id: string, name: string, args: unknown = {}): Called => ({
  id,
  name,
  arguments: typeof args === "string" ? args : JSON.stringify(args),
});

const usage = {
  input_tokens: 10,
  input_tokens_details: { cached_tokens: 4, cache_write_tokens: 0 },
  output_tokens: 3,
  output_tokens_details: { reasoning_tokens: 1 },
  total_tokens: 13,
};

export function outputOf({ text, calls = [] }: Answer): object[] {
  const part = { type: "output_text", text, annotations: [], logprobs: [] };
  const said = { id: "msg", type: "message", role: "assistant", status: "completed" };
  return [
    ...(text === undefined ? [] : [{ ...said, content: [part] }]),
    ...calls.map(({ id, name, arguments: args }) => ({
      ...{ id: `fc_${id}`, type: "function_call", status: "completed" },
      ...{ call_id: id, name, arguments: args },
    })),
  ];
}

/** Requests that the client has sent, on any socket. */
export function creates(world: VirtualWorld): Message[] {
  return world.sockets.flatMap(({ sent }) => sent).filter(({ type }) => type === "response.create");
}

/** Waits for the request number `n`, from 1, and begins to answer it. */
export async function begin(world: VirtualWorld, n: number): Promise<Script> {
  for (let tries = 0; creates(world).length < n; tries += 1) {
    if (tries > 100) throw new Error(`There were ${creates(world).length} requests, not ${n}`);
    await turn();
  }
  const { stream_id } = creates(world)[n - 1]!;
  return new Script(world.socket, `resp_${n}`, stream_id).created();
}

export function end(script: Script, answer: Answer): void {
  const { status = "completed" } = answer;
  const response = { id: script.id, status, error: null, output: outputOf(answer), usage };
  const type = status === "completed" ? "completed" : "incomplete";
  script.send(`response.${type}`, { response });
}

export async function answer(world: VirtualWorld, n: number, what: Answer): Promise<Message> {
  end(await begin(world, n), what);
  return creates(world)[n - 1]!;
}

export type { VirtualSocket };
