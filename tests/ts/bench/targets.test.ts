import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runBench } from "../../../src-ts/bench/bench.js";
import { chat, responses } from "../../../src-ts/bench/dialect.js";
import { HttpTarget } from "../../../src-ts/bench/http-target.js";
import { type BenchOptions, parseOptions } from "../../../src-ts/bench/options.js";
import { SocketTarget } from "../../../src-ts/bench/socket-target.js";
import type { Message, TargetOptions } from "../../../src-ts/bench/target.js";
import { accept, startFakeServer } from "../client/support/fake-server.js";

interface Seen {
  path: string | undefined;
  authorization: string | undefined;
  body: Record<string, unknown>;
}

type Answer = (response: ServerResponse) => void;

let server: Server;
let seen: Seen[];
let answer: Answer;
let url: string;

async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = "";
  for await (const chunk of request) text += chunk;
  return JSON.parse(text);
}

beforeEach(async () => {
  seen = [];
  server = createServer(async (request, response) => {
    const { authorization } = request.headers;
    seen.push({ path: request.url, authorization, body: await readBody(request) });
    answer(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
});

function options(fields: Partial<TargetOptions> = {}): TargetOptions {
  return {
    url,
    api: "chat",
    model: undefined,
    apiKey: undefined,
    extraBody: {},
    sockets: 1,
    timeoutMs: 5000,
    keepTexts: true,
    ...fields,
  };
}

function events(...data: (object | string)[]): Answer {
  return (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const each of data) {
      response.write(`data: ${typeof each === "string" ? each : JSON.stringify(each)}\n\n`);
    }
    response.end();
  };
}

const delta = (content: string) => ({ choices: [{ delta: { content }, finish_reason: null }] });
const finish = { choices: [{ delta: {}, finish_reason: "stop" }] };
const usage = {
  choices: [],
  usage: {
    prompt_tokens: 5,
    completion_tokens: 2,
    prompt_tokens_details: { cached_tokens: 3 },
  },
};
const request = { prompt: "Hi", maxTokens: 4 };

describe("chat over HTTP", () => {
  it("sends again where the server has closed a kept connection, and only there", async () => {
    const sockets: unknown[] = [];
    const whole = events(delta("a"), usage, "[DONE]");
    answer = (response) => {
      const { socket } = response;
      if (sockets.includes(socket)) return void socket!.destroy();
      sockets.push(socket);
      whole(response);
    };
    const target = new HttpTarget(chat, options());
    expect((await target.run(request)).failure).toBeUndefined();
    expect((await target.run(request)).failure).toBeUndefined();
    expect(sockets).toHaveLength(2);
    answer = (response) => void response.socket!.destroy();
    expect((await target.run(request)).failure).toBe("connection");
    await target.close();
  });

  it("asks for usage, adds fields, and notes when text came", async () => {
    answer = events(delta(""), delta("a"), delta("b"), finish, usage, "[DONE]");
    const target = new HttpTarget(
      chat,
      options({ model: "m", apiKey: "k", extraBody: { seed: 1 } }),
    );
    const record = await target.run(request);
    expect(record.failure).toBeUndefined();
    expect(record.arrivals).toHaveLength(2);
    expect(record.texts).toEqual(["a", "b"]);
    expect(record.usage).toEqual({ promptTokens: 5, cachedTokens: 3, completionTokens: 2 });
    expect(record.startedAt).toBeLessThanOrEqual(record.arrivals[0]!);
    expect(record.arrivals[1]!).toBeLessThanOrEqual(record.endedAt);
    expect(seen[0]).toMatchObject({
      path: "/v1/chat/completions",
      authorization: "Bearer k",
      body: {
        model: "m",
        seed: 1,
        max_tokens: 4,
        stream: true,
        stream_options: { include_usage: true },
        messages: [{ role: "user", content: "Hi" }],
      },
    });
    await target.close();
  });

  it.each<[string, Answer, string]>([
    ["a status", (response) => response.writeHead(429).end("{}"), "http_429"],
    ["an end before the end", events(delta("a")), "incomplete"],
    ["an error chunk", events(delta("a"), { error: { code: "worker_crashed" } }), "worker_crashed"],
    ["an error without a code", events({ error: { message: "m" } }), "error"],
    ["nonsense", events("{"), "bad_json"],
    ["a cut", (response) => response.destroy(), "connection"],
  ])("counts %s as a failure", async (_what, how, failure) => {
    answer = how;
    const target = new HttpTarget(chat, options());
    expect((await target.run(request)).failure).toBe(failure);
    await target.close();
  });

  it("gives up after its timeout", async () => {
    answer = () => {};
    const target = new HttpTarget(chat, options({ timeoutMs: 20 }));
    expect((await target.run(request)).failure).toBe("timeout");
    await target.close();
  });

  it("sends a conversation as it is", async () => {
    answer = events(finish, "[DONE]");
    const target = new HttpTarget(chat, options());
    const prompt = [
      { role: "system", content: "a" },
      { role: "user", content: "b" },
    ] satisfies Message[];
    await target.run({ prompt, maxTokens: 4 });
    expect(seen[0]!.body.messages).toEqual(prompt);
    await target.close();
  });

  it("ends a request that is given up, once, also on a connection that was used before", async () => {
    const target = new HttpTarget(chat, options());
    answer = events(delta("a"), finish, "[DONE]");
    await target.run(request);
    const abort = new AbortController();
    answer = () => abort.abort();
    const record = await target.run({ ...request, signal: abort.signal });
    expect(record).toMatchObject({ failure: "aborted", arrivals: [] });
    const late = await target.run({ ...request, signal: abort.signal });
    expect(late.failure).toBe("aborted");
    await target.close();
    // A connection that was ended is no stale one: nothing is sent again.
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(seen).toHaveLength(2);
  });
});

describe("responses over HTTP", () => {
  it("notes text, usage and failures", async () => {
    const text = { type: "response.output_text.delta", delta: "a" };
    const counts = {
      input_tokens: 5,
      output_tokens: 1,
      input_tokens_details: { cached_tokens: 0 },
    };
    answer = events(text, { type: "response.incomplete", response: { usage: counts } });
    const target = new HttpTarget(responses, options());
    const record = await target.run(request);
    expect(record).toMatchObject({ failure: undefined, usage: { completionTokens: 1 } });
    expect(record.arrivals).toHaveLength(1);
    expect(seen[0]).toMatchObject({ path: "/v1/responses", body: { input: "Hi", store: false } });
    answer = events({ type: "response.failed", response: { error: { code: "generation_error" } } });
    expect((await target.run(request)).failure).toBe("generation_error");
    await target.close();
  });
});

describe("WebSocket", () => {
  it("notes text and usage, and counts failures by code", async () => {
    const fake = await startFakeServer();
    const target = new SocketTarget(options({ url: fake.url.replace("ws:", "http:") }));
    const [socket] = await Promise.all([fake.socket(), target.open()]);
    const running = target.run(request);
    (await accept(socket, "resp_1")).created().delta("a").delta("b").completed();
    const record = await running;
    expect(record).toMatchObject({ failure: undefined, usage: { promptTokens: 3 } });
    expect(record.arrivals).toHaveLength(2);
    const failing = target.run(request);
    (await accept(socket, "resp_2")).created().failed("worker_crashed");
    expect((await failing).failure).toBe("worker_crashed");
    socket.raw.terminate();
    expect((await target.run(request)).failure).toBe("connection_lost");
    await target.close();
    await fake.close();
  });
});

describe("runBench", () => {
  function benchOptions(flags: Record<string, string>): BenchOptions {
    const defaults = {
      url,
      api: "chat",
      streams: "2",
      sockets: "1",
      maxTokens: "4",
      timeout: "5s",
    };
    const parsed = parseOptions({ ...defaults, ...flags });
    if (typeof parsed === "string") throw new Error(parsed);
    return parsed;
  }
  const observer = { onRound() {}, onRequest() {} };

  it("alternates two targets, warm-up apart, with the same prompts", async () => {
    answer = events(delta("a"), delta("b"), finish, usage, "[DONE]");
    const flags = { requests: "3", rounds: "2", vs: url, vsModel: "other", model: "one" };
    const { targets, ratios } = await runBench(benchOptions(flags), observer);
    expect(targets.map(({ summary }) => summary.requests)).toEqual([6, 6]);
    expect(targets.map(({ rounds }) => rounds.length)).toEqual([2, 2]);
    expect(targets[0]!.summary.completionTokens).toBe(12);
    expect(ratios.find(({ name }) => name === "tokens/s")?.rounds).toHaveLength(2);
    const models = seen.map(({ body }) => body.model);
    const inTurn = ["one", "other"].flatMap((model) => [model, model]);
    const rounds = ["one", "other", "other", "one"].flatMap((model) => [model, model, model]);
    expect(models).toEqual([...inTurn, ...rounds]);
    const prompts = (model: string) =>
      seen
        .filter(({ body }) => body.model === model)
        .map(({ body }) => JSON.stringify(body.messages));
    expect(prompts("one")).toEqual(prompts("other"));
    expect(new Set(prompts("one")).size).toBe(8);
  });

  it("stops when no warm-up request succeeds", async () => {
    answer = (response) => response.writeHead(503).end();
    await expect(runBench(benchOptions({}), observer)).rejects.toThrow("2 × http_503");
  });

  it("says when the server can't be reached", async () => {
    const flags = { api: "websocket", url: "http://127.0.0.1:9" };
    await expect(runBench(benchOptions(flags), observer)).rejects.toThrow("can't be reached");
  });
});
