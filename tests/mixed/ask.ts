/** Asks for a chat completion, whole or streamed, and says what it amounts to: both say the same. */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { authorization } from "../e2e/support/server.js";

export interface Choice {
  content: string;
  calls: { name: string; arguments: string }[];
  finish_reason: string;
}

interface Part {
  content?: string | null;
  tool_calls?: { index?: number; function: { name?: string; arguments?: string } }[];
}

/** It was not accepted. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    text: string,
  ) {
    super(`${status}: ${text}`);
  }

  /** The field that the error names. */
  get param(): string | null {
    const { error } = JSON.parse(this.message.slice(this.message.indexOf("{"))) as {
      error: { param: string | null };
    };
    return error.param;
  }
}

/**
 * Without a time limit: how long an answer may take is the machine's affair. Of a stream `onStart`, once, with the
 * response's id, and `onDelta` at each text. Throws for what is no complete answer.
 */
export async function ask(
  url: string,
  body: object,
  { stream = false, signal, apiKey, onStart, onDelta }: Options = {},
): Promise<Choice> {
  const asking = request(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...authorization(apiKey) },
  });
  // Not by its option: Node ties the connection to it as well, which other requests have after this one.
  signal?.addEventListener("abort", () => asking.destroy());
  // Why it breaks off is told to whoever reads the answer; who has read it to its end needs no reason.
  asking.on("error", () => {});
  asking.end(JSON.stringify({ ...body, stream }));
  const [answer] = (await once(asking, "response")) as [IncomingMessage];
  answer.on("error", () => {});
  answer.setEncoding("utf8");
  if (answer.statusCode !== 200) throw new Refusal(answer.statusCode!, await textOf(answer));
  return stream ? streamed(answer, onStart, onDelta) : whole(await textOf(answer));
}

interface Options {
  stream?: boolean;
  signal?: AbortSignal | undefined;
  apiKey?: string | undefined;
  onStart?: ((id: string) => void) | undefined;
  onDelta?: (() => void) | undefined;
}

async function textOf(answer: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of answer) text += chunk;
  return text;
}

function whole(text: string): Choice {
  const { choices } = JSON.parse(text) as { choices: { message: Part; finish_reason: string }[] };
  const { message, finish_reason } = choices[0]!;
  const choice: Choice = { content: "", calls: [], finish_reason };
  add(choice, message);
  return choice;
}

async function streamed(
  answer: IncomingMessage,
  onStart?: (id: string) => void,
  onDelta?: () => void,
): Promise<Choice> {
  let isStarted = false;
  const choice: Choice = { content: "", calls: [], finish_reason: "" };
  let rest = "";
  let isDone = false;
  const take = (line: string) => {
    if (!line.startsWith("data: ")) return;
    const data = line.slice("data: ".length);
    if (data === "[DONE]") {
      isDone = true;
      return;
    }
    const { id, choices, error } = JSON.parse(data) as Chunk;
    if (error !== undefined) throw new Error(data);
    if (!isStarted) onStart?.(id);
    isStarted = true;
    const { delta, finish_reason } = choices[0]!;
    if (choice.finish_reason !== "") throw new Error(`After the last chunk comes ${data}`);
    add(choice, delta);
    choice.finish_reason = finish_reason ?? "";
    if (delta.content || delta.tool_calls) onDelta?.();
  };
  for await (const chunk of answer) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    for (const line of lines) take(line);
  }
  if (!isDone || choice.finish_reason === "") throw new Error("The stream ends without its end.");
  return choice;
}

interface Chunk {
  id: string;
  choices: { delta: Part; finish_reason: string | null }[];
  error?: unknown;
}

function add(choice: Choice, { content, tool_calls = [] }: Part): void {
  choice.content += content ?? "";
  for (const [place, { index = place, function: called }] of tool_calls.entries()) {
    choice.calls[index] ??= { name: "", arguments: "" };
    const call = choice.calls[index];
    call.name += called.name ?? "";
    call.arguments += called.arguments ?? "";
  }
}
