/** Requests of real clients, as `tests/fixtures/clients` has them, against a whole server with the fake engine. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import WebSocket from "ws";
import type { z } from "zod";
import { type RunningServer, serve } from "../../src-ts/index.js";
import {
  AnthropicError,
  AnthropicMessage,
  AnthropicStreamEvent,
  AnthropicTokenCount,
} from "../../src-ts/protocol/anthropic.js";
import { ChatChunk, ChatCompletion } from "../../src-ts/protocol/chat.js";
import { Completion } from "../../src-ts/protocol/completions.js";
import { Embeddings } from "../../src-ts/protocol/embeddings.js";
import { ErrorResponse } from "../../src-ts/protocol/errors.js";
import { ResponseStreamEvent } from "../../src-ts/protocol/events.js";
import { DeletedResponse, InputItemList, ResponseObject } from "../../src-ts/protocol/responses.js";
import { InputTokens } from "../../src-ts/protocol/tokens.js";
import { parseSse } from "./support/test-server.js";
import { type AnyEvent, isTerminal } from "./support/test-socket.js";

interface Recording {
  case: string;
  request: {
    method: string;
    path: string;
    headers?: Record<string, string>;
    body?: string | Record<string, unknown>;
  };
  now: "served" | { status: number; param?: string };
}

interface Client {
  client: string;
  headers: Record<string, string>;
  recordings: Recording[];
}

const folder = join(import.meta.dirname, "../fixtures/clients");
const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
const read = (name: string) => JSON.parse(readFileSync(join(folder, name), "utf8")) as Client;

/** Room for every prompt here, and not for much more: the fake engine always writes to the limit. */
const contexts = { short: 1_024, long: 4_096 };
const shortBytesMax = 700;
let servers: { short: RunningServer; long: RunningServer };

beforeAll(async () => {
  const start = (maxContext: number) =>
    serve({ port: 0, engine: "fake", maxContext, maxQueue: 1_024 });
  const [short, long] = await Promise.all([start(contexts.short), start(contexts.long)]);
  servers = { short, long };
});

afterAll(async () => {
  for (const server of Object.values(servers ?? {})) await server[Symbol.asyncDispose]();
});

/** The server that has room for this request and not for much more. */
function serverFor({ body = "" }: Recording["request"]): RunningServer {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return servers[Buffer.byteLength(text) > shortBytesMax ? "long" : "short"];
}

describe.each(files)("%s", (file) => {
  const { client, headers, recordings } = read(file);
  const first = (name: string) => recordings.find((one) => one.case === name)!;

  it.each(recordings.map((one, index) => [index, one.case, one] as const))(
    `${client}, request %i: %s`,
    async (_index, _name, recording) => {
      const { request, now } = recording;
      const maker = request.path.includes("{id}") ? first(recording.case) : undefined;
      const { url } = serverFor((maker ?? recording).request);
      const id = maker === undefined ? "" : await made(url, maker, headers);
      const path = request.path.replace("{id}", id);
      const sent = { ...request, url, path, headers: request.headers ?? headers };
      const answer = request.method === "WS" ? await onSocket(sent) : await overHttp(sent);
      if (now === "served") return served(sent, answer);
      expect(answer.status, answer.text).toBe(now.status);
      const shape = isAnthropic(path) ? AnthropicError : ErrorResponse;
      const { error } = shape.parse(JSON.parse(answer.text));
      expect(error.param).toBe(now.param ?? null);
    },
  );
});

describe("the recordings", () => {
  it("are of 20 clients, and of each something is served", () => {
    expect(files).toHaveLength(20);
    for (const file of files) {
      const { recordings } = read(file);
      expect(
        recordings.some(({ now }) => now === "served"),
        file,
      ).toBe(true);
    }
  });

  it("hold no key, no place of a machine and no id of a response", () => {
    for (const file of files) {
      const text = readFileSync(join(folder, file), "utf8");
      expect(text).not.toMatch(/authorization|x-api-key|bearer|\bsk-|resp_[0-9a-f]{16}/i);
      expect(text).not.toMatch(/"(\/(home|root|tmp|work|Users)\/|[A-Z]:\\)|localhost|127\.0\.0\.1/);
    }
  });
});

const isAnthropic = (path: string) => path.startsWith("/v1/messages");

type Sent = Recording["request"] & { url: string; headers: Record<string, string> };

interface Answer {
  status: number;
  text: string;
}

async function overHttp({ url, method, path, headers, body }: Sent): Promise<Answer> {
  const sent = typeof body === "object" ? JSON.stringify(known(body)) : body;
  const init = { method, headers, ...(method !== "GET" && sent !== undefined && { body: sent }) };
  const answer = await fetch(`${url}${path}`, init);
  return { status: answer.status, text: await answer.text() };
}

const fakeVocabulary = 256;

/** Token ids are those of the embedded model; the fake engine has fewer. `model.test.ts` takes them as they are. */
function known(body: Record<string, unknown>): object {
  const fitting = (prompt: unknown): unknown => {
    if (Array.isArray(prompt)) return prompt.map(fitting);
    return typeof prompt === "number" ? prompt % fakeVocabulary : prompt;
  };
  return "prompt" in body ? { ...body, prompt: fitting(body.prompt) } : body;
}

/** All events of the answer, one a line; an error event is its status and the body of an HTTP error. */
function onSocket({ url, path, headers, body }: Sent): Promise<Answer> {
  const ws = new WebSocket(`${url.replace("http", "ws")}${path}`, { headers });
  const events: string[] = [];
  return new Promise<Answer>((resolve, reject) => {
    ws.on("error", reject);
    ws.on("close", (code) => reject(new Error(`closed with ${code}`)));
    ws.on("open", () => ws.send(JSON.stringify(body)));
    ws.on("message", (data) => {
      const event = JSON.parse(String(data)) as AnyEvent;
      events.push(JSON.stringify(event));
      if (event.type === "error")
        resolve({ status: event.status, text: JSON.stringify({ error: event.error }) });
      else if (isTerminal(event)) resolve({ status: 200, text: events.join("\n") });
    });
  }).finally(() => ws.terminate());
}

/** The id of a response that this request makes. */
async function made(
  url: string,
  { request }: Recording,
  headers: Record<string, string>,
): Promise<string> {
  const { text } = await overHttp({ ...request, url, headers });
  return (JSON.parse(text) as { id: string }).id;
}

/** Of the shape that the public schemas give it, whole, with text and with what it took. */
function served(sent: Sent, { status, text }: Answer): void {
  expect(status, text).toBe(200);
  const { method, path, body } = sent;
  if (method === "WS") return eventsOfResponse(text.split("\n"));
  const wantsStream = typeof body === "object" ? body.stream === true : /stream=true/.test(path);
  if (!wantsStream) return wholeAnswer(sent, text);
  const data = parseSse(text).events.map((event) => event.data);
  if (path.startsWith("/v1/responses")) return eventsOfResponse(data);
  if (isAnthropic(path)) return eventsOfMessage(data);
  expect(data.at(-1)).toBe("[DONE]");
  const choices = data.slice(0, -1).flatMap((one): Piece[] => {
    if (path === "/v1/completions") return Completion.parse(JSON.parse(one)).choices;
    const chunk = ChatChunk.parse(JSON.parse(one));
    return chunk.choices.map(({ delta, finish_reason }) => ({
      text: delta.content,
      finish_reason,
    }));
  });
  expect(choices.map((choice) => choice.text ?? "").join("")).not.toBe("");
  expect(choices.filter(({ finish_reason }) => finish_reason !== null)).toHaveLength(1);
}

interface Piece {
  text?: string | null | undefined;
  finish_reason: string | null;
}

function wholeAnswer({ method, path }: Sent, text: string): void {
  const parse = <T extends z.ZodType>(schema: T) => schema.parse(JSON.parse(text));
  if (method === "DELETE") parse(DeletedResponse);
  else if (path.endsWith("/input_items")) expect(parse(InputItemList).data).not.toEqual([]);
  else if (path === "/v1/embeddings") expect(parse(Embeddings).data).toHaveLength(1);
  else if (path.endsWith("/input_tokens"))
    expect(parse(InputTokens).input_tokens).toBeGreaterThan(0);
  else if (path.startsWith("/v1/responses")) {
    const response = parse(ResponseObject);
    // Asked for in the background it is answered before it has begun.
    if (response.usage !== null) expect(response.usage.output_tokens).toBeGreaterThan(0);
  } else if (path === "/v1/completions") parse(Completion);
  else if (path === "/v1/messages/count_tokens")
    expect(parse(AnthropicTokenCount).input_tokens).toBeGreaterThan(0);
  else if (isAnthropic(path)) expect(parse(AnthropicMessage).content).not.toEqual([]);
  else {
    const { choices, usage } = parse(ChatCompletion);
    expect(choices[0]!.message.content).not.toBe("");
    expect(usage.completion_tokens).toBeGreaterThan(0);
  }
}

function eventsOfMessage(lines: readonly string[]): void {
  const types = lines.map((line) => AnthropicStreamEvent.parse(JSON.parse(line)).type);
  expect([types[0], types.at(-1)]).toEqual(["message_start", "message_stop"]);
  expect(types).toContain("content_block_delta");
}

function eventsOfResponse(lines: readonly string[]): void {
  const events = lines.map((line) => ResponseStreamEvent.parse(JSON.parse(line)));
  const [{ sequence_number: from }] = events as [ResponseStreamEvent];
  expect(events.map(({ sequence_number }) => sequence_number)).toEqual(
    events.map((_, i) => from + i),
  );
  expect(events.filter(isTerminal)).toEqual([events.at(-1)]);
  expect(events.at(-1)!.type).not.toBe("response.failed");
}
