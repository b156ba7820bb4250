/** A model's turn as a client of each API gets it, streamed: what was said, thought and called, with the ids. */
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";

/** `own` in an id stands for what the response's id has of its own: another response has another. */
export interface StreamedTurn {
  reasoning: string;
  text: string;
  calls: { id: string; name: string; arguments: string }[];
  ids: string[];
  finish: string;
  /** Prompt, completion and, where the API tells, reasoning. */
  tokens: (number | undefined)[];
}

// biome-ignore lint/suspicious/noExplicitAny: events of four APIs
type Event = Record<string, any>;

export interface AskedTurn {
  url: string;
  prompt: string;
  /** Whether it offers a tool; default: yes. */
  hasTools?: boolean;
  /** Further fields of a body, by API. */
  fields?: Partial<Record<TurnApi, object>>;
  maxTokens?: number;
  /** After each piece of the message or of a call's arguments: how many characters of it came so far. */
  onProgress?: (kind: "text" | "arguments", characters: number) => void;
}

export const turnApis = ["chat", "responses", "websocket", "anthropic"] as const;
export type TurnApi = (typeof turnApis)[number];

const schema = {
  type: "object",
  properties: { path: { type: "string" } },
  required: ["path"],
  additionalProperties: false,
};
const name = "look";

/** Of every API the body that asks for the same. */
function bodyOf(api: TurnApi, asked: AskedTurn): object {
  const { prompt, fields = {}, maxTokens = 400, hasTools = true } = asked;
  const said = [{ role: "user", content: prompt }];
  const own = { ...(!hasTools && { tools: [] }), ...fields[api] };
  switch (api) {
    case "chat": {
      const tools = [{ type: "function", function: { name, parameters: schema } }];
      const stream = { stream: true, stream_options: { include_usage: true } };
      return { messages: said, tools, max_tokens: maxTokens, ...stream, seed: 7, ...own };
    }
    case "anthropic": {
      const tools = [{ name, input_schema: schema }];
      const model = "any";
      return { model, messages: said, tools, max_tokens: maxTokens, stream: true, ...own };
    }
    default: {
      const tools = [{ type: "function", name, parameters: schema }];
      const stream = api === "responses" && { stream: true };
      return { input: prompt, tools, max_output_tokens: maxTokens, ...stream, seed: 7, ...own };
    }
  }
}

export async function turnOver(api: TurnApi, asked: AskedTurn): Promise<StreamedTurn> {
  const reader = new TurnReader(asked.onProgress ?? (() => {}));
  const body = bodyOf(api, asked);
  const events = api === "websocket" ? overSocket(asked.url, body) : overHttp(asked.url, api, body);
  for await (const event of events) reader[readers[api]](event);
  return reader.turn();
}

const paths = {
  chat: "/v1/chat/completions",
  responses: "/v1/responses",
  anthropic: "/v1/messages",
} as const;
const readers = {
  chat: "ofChat",
  responses: "ofResponses",
  websocket: "ofResponses",
  anthropic: "ofAnthropic",
} as const;

async function* overHttp(url: string, api: keyof typeof paths, body: object) {
  const answer = await fetch(`${url}${paths[api]}`, {
    method: "POST",
    headers: { "content-type": "application/json", "anthropic-version": "2023-06-01" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  let unread = "";
  for await (const bytes of answer.body!.pipeThrough(new TextDecoderStream())) {
    unread += bytes;
    const events = unread.split("\n\n");
    unread = events.pop()!;
    for (const event of events) {
      const data = /^data: (.*)$/m.exec(event)?.[1];
      if (data !== undefined && data !== "[DONE]") yield JSON.parse(data) as Event;
    }
  }
}

async function* overSocket(url: string, body: object) {
  const socket = new WebSocket(`${url.replace("http", "ws")}/v1/responses`);
  const events: Event[] = [];
  socket.on("message", (data) => events.push(JSON.parse(String(data)) as Event));
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  socket.send(JSON.stringify({ type: "response.create", ...body }));
  try {
    for (;;) {
      const event = events.shift();
      if (event === undefined) await sleep(1);
      else if (event.type === "error") throw new Error(JSON.stringify(event));
      else yield event;
      if (/^response\.(completed|incomplete|failed)$/.test(event?.type)) return;
    }
  } finally {
    socket.close();
  }
}

class TurnReader {
  private own: string | undefined;
  private readonly read: StreamedTurn = {
    ...{ reasoning: "", text: "", finish: "", calls: [], ids: [], tokens: [] },
  };

  constructor(private readonly onProgress: NonNullable<AskedTurn["onProgress"]>) {}

  turn(): StreamedTurn {
    const { own = "" } = this;
    const named = (id: string): string => id.replace(own, "own");
    const calls = this.read.calls.map((call) => ({ ...call, id: named(call.id) }));
    return { ...this.read, calls, ids: this.read.ids.map(named) };
  }

  ofChat({ id, choices, usage }: Event): void {
    this.isOf(id);
    const [{ delta = {}, finish_reason: finish } = {} as Event] = choices;
    this.text(delta.content ?? "");
    this.read.reasoning += delta.reasoning_content ?? "";
    for (const { index, id: callId, function: called } of delta.tool_calls ?? []) {
      if (callId !== undefined) this.call(callId, called.name);
      if (index !== this.read.calls.length - 1) throw new Error(`arguments of call ${index}`);
      this.arguments(called.arguments ?? "");
    }
    if (finish) this.read.finish = finish;
    if (usage)
      this.read.tokens = [
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.completion_tokens_details.reasoning_tokens,
      ];
  }

  ofResponses({ type, response, item, delta }: Event): void {
    switch (type) {
      case "response.created":
        return this.isOf(response.id);
      case "response.output_item.added":
        this.read.ids.push(item.id);
        if (item.type === "function_call") this.call(item.call_id, item.name);
        return;
      case "response.output_text.delta":
        return this.text(delta);
      case "response.reasoning_text.delta":
        this.read.reasoning += delta;
        return;
      case "response.function_call_arguments.delta":
        return this.arguments(delta);
      case "response.completed":
      case "response.incomplete":
      case "response.failed":
        return this.ended(response);
    }
  }

  /** What is in the object of the end is what was told before. */
  private ended({ status, usage, output }: Event): void {
    this.read.finish = status;
    const { input_tokens, output_tokens, output_tokens_details } = usage;
    this.read.tokens = [input_tokens, output_tokens, output_tokens_details.reasoning_tokens];
    const calls = output
      .filter((item: Event) => item.type === "function_call")
      .map((item: Event) => ({ id: item.call_id, name: item.name, arguments: item.arguments }));
    if (JSON.stringify(calls) !== JSON.stringify(this.read.calls))
      throw new Error(`in the end ${JSON.stringify(calls)}, told ${JSON.stringify(this.read)}`);
  }

  ofAnthropic({ type, message, content_block: block, delta, usage }: Event): void {
    switch (type) {
      case "message_start":
        return this.isOf(message.id);
      case "content_block_start":
        if (block.type === "tool_use") this.call(block.id, block.name);
        return;
      case "content_block_delta":
        this.text(delta.text ?? "");
        this.read.reasoning += delta.thinking ?? "";
        if (delta.partial_json !== undefined) this.arguments(delta.partial_json);
        return;
      case "message_delta":
        this.read.finish = delta.stop_reason;
        this.read.tokens = [usage.input_tokens, usage.output_tokens];
    }
  }

  private isOf(id: string): void {
    const own = id.replace(/^[a-z]+[-_]/, "");
    if (this.own !== undefined && this.own !== own) throw new Error(`${this.own} became ${own}`);
    this.own = own;
  }

  private call(id: string, called: string): void {
    this.read.calls.push({ id, name: called, arguments: "" });
  }

  private arguments(text: string): void {
    this.read.calls.at(-1)!.arguments += text;
    const { calls } = this.read;
    const characters = calls.reduce((sum, one) => sum + one.arguments.length, 0);
    if (text !== "") this.onProgress("arguments", characters);
  }

  private text(text: string): void {
    this.read.text += text;
    if (text !== "") this.onProgress("text", this.read.text.length);
  }
}
