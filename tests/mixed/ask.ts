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

interface Caller {
  signal?: AbortSignal | undefined;
  apiKey?: string | undefined;
}

/** Without a time limit: how long an answer may take is the machine's affair. */
async function post(address: string, body: object, { signal, apiKey }: Caller) {
  const asking = request(address, {
    method: "POST",
    headers: { "content-type": "application/json", ...authorization(apiKey) },
  });
  // Not by its option: Node ties the connection to it as well, which other requests have after this one.
  signal?.addEventListener("abort", () => asking.destroy());
  // Why it breaks off is told to whoever reads the answer; who has read it to its end needs no reason.
  asking.on("error", () => {});
  asking.end(JSON.stringify(body));
  const [answer] = (await once(asking, "response")) as [IncomingMessage];
  answer.on("error", () => {});
  answer.setEncoding("utf8");
  if (answer.statusCode !== 200) throw new Refusal(answer.statusCode!, await textOf(answer));
  return answer;
}

/** Of a stream `onDelta` at each text. Throws for what is no complete answer. */
export async function ask(
  url: string,
  body: object,
  { stream = false, onDelta, ...caller }: Caller & { stream?: boolean; onDelta?: () => void } = {},
): Promise<Choice> {
  const answer = await post(`${url}/v1/chat/completions`, { ...body, stream }, caller);
  return stream ? streamed(answer, onDelta) : whole(await textOf(answer));
}

/**
 * The same of the Responses API, which names a response before its prompt is computed; a chat's first chunk comes
 * with its first text. `onCreated` hears the id. Undefined: it was cancelled. Throws for what is no complete answer.
 */
export async function askAsResponse(
  url: string,
  { messages, max_tokens, ...body }: { messages?: unknown; max_tokens: number },
  { onCreated, ...caller }: Caller & { onCreated: (id: string) => void },
): Promise<Choice | undefined> {
  const asked = { ...body, input: messages, max_output_tokens: max_tokens, stream: true };
  const answer = await post(`${url}/v1/responses`, asked, caller);
  let content = "";
  for await (const { type, response, delta } of eventsIn(answer)) {
    if (type === "response.created") onCreated(response!.id);
    if (type === "response.output_text.delta") content += delta;
    if (type === "response.completed") return { content, calls: [], finish_reason: "stop" };
    if (type === "response.failed") throw new Error(JSON.stringify(response!.error));
    if (type !== "response.incomplete") continue;
    if (response!.incomplete_details.reason === "cancelled") return undefined;
    return { content, calls: [], finish_reason: "length" };
  }
  throw new Error(`The stream ends after ${JSON.stringify(content)}`);
}

interface ResponseEvent {
  type: string;
  response?: { id: string; incomplete_details: { reason: string }; error: unknown };
  delta?: string;
}

async function* eventsIn(answer: IncomingMessage): AsyncGenerator<ResponseEvent> {
  for await (const data of dataIn(answer)) yield JSON.parse(data) as ResponseEvent;
}

/** What the lines `data: …` of an event stream have. */
async function* dataIn(answer: IncomingMessage): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of answer) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    for (const line of lines) if (line.startsWith("data: ")) yield line.slice("data: ".length);
  }
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

async function streamed(answer: IncomingMessage, onDelta?: () => void): Promise<Choice> {
  const choice: Choice = { content: "", calls: [], finish_reason: "" };
  let isDone = false;
  for await (const data of dataIn(answer)) {
    if (data === "[DONE]") {
      isDone = true;
      continue;
    }
    const { choices, error } = JSON.parse(data) as Chunk;
    if (error !== undefined) throw new Error(data);
    const { delta, finish_reason } = choices[0]!;
    if (choice.finish_reason !== "") throw new Error(`After the last chunk comes ${data}`);
    add(choice, delta);
    choice.finish_reason = finish_reason ?? "";
    if (delta.content || delta.tool_calls) onDelta?.();
  }
  if (!isDone || choice.finish_reason === "") throw new Error("The stream ends without its end.");
  return choice;
}

interface Chunk {
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
