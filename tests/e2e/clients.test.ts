/** Every client that we promise, on the fake engine: its text depends on the prompt alone. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Client, connect } from "../../src-ts/client/index.js";
import {
  conversationOverWebSocket,
  modelOf,
  openai,
  responseOverWebSocket,
  streamedChat,
  streamedResponse,
} from "./support/openai.js";
import { askFromPython, ensurePythonClient } from "./support/python-client.js";
import { type ServerProcess, startServer } from "./support/server.js";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

const question = { prompt: "Tell me something", maxTokens: 40 };
let server: ServerProcess;
let client: Client;
/** What the fake engine says to the question. */
let answer: string;

beforeAll(async () => {
  server = await startServer({ flags: ["--engine", "fake"] });
  client = await connect(server.url);
  const body = { input: question.prompt, max_output_tokens: question.maxTokens };
  answer = (await client.respond(body).final()).text;
});

afterAll(async () => {
  await client?.close();
  await server?.[Symbol.asyncDispose]();
});

describe("openai for npm", () => {
  it("chats, streamed and not", async () => {
    const api = openai(server.url);
    const model = await modelOf(api);
    expect(await streamedChat(api, model, question)).toBe(answer);
    const whole = await api.chat.completions.create({
      model,
      messages: [{ role: "user", content: question.prompt }],
      max_completion_tokens: question.maxTokens,
    });
    expect(whole.choices[0]).toMatchObject({
      finish_reason: "length",
      message: { role: "assistant", content: answer },
    });
    expect(whole.usage?.completion_tokens).toBe(question.maxTokens);
  });

  it("completes, streamed and not", async () => {
    const api = openai(server.url);
    const body = {
      model: await modelOf(api),
      prompt: question.prompt,
      max_tokens: question.maxTokens,
    };
    const whole = await api.completions.create(body);
    expect(whole.usage).toMatchObject({
      completion_tokens: question.maxTokens,
      prompt_tokens: question.prompt.length,
    });
    let text = "";
    const stream = await api.completions.create({ ...body, stream: true });
    for await (const chunk of stream) text += chunk.choices[0]?.text ?? "";
    expect(text).toBe(whole.choices[0]?.text);
    expect(text).not.toBe("");
  });

  it("responds, streamed and not", async () => {
    const api = openai(server.url);
    const model = await modelOf(api);
    expect(await streamedResponse(api, model, question)).toBe(answer);
    const whole = await api.responses.create({
      model,
      input: question.prompt,
      max_output_tokens: question.maxTokens,
    });
    expect(whole.output_text).toBe(answer);
    expect(whole).toMatchObject({
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
    });
  });

  it("responds over WebSocket", async () => {
    const api = openai(server.url);
    expect(await responseOverWebSocket(api, await modelOf(api), question)).toBe(answer);
  });
});

describe("a conversation over WebSocket", () => {
  it("is prefilled and goes on turn by turn, each with all that was said", async () => {
    const api = openai(server.url);
    const prompts = [question.prompt, "Go on.", "And then?"];
    const { maxTokens } = question;
    const model = await modelOf(api);
    const asked = { prompts, maxTokens };
    const { texts, prefilled } = await conversationOverWebSocket(api, model, asked);
    expect(prefilled).toMatchObject({ status: "completed", output: [] });
    expect(prefilled.usage).toMatchObject({ output_tokens: 0 });
    expect(texts[0]).toBe(answer);
    expect(new Set(texts).size).toBe(prompts.length);
  });
});

describe("openai for Python", () => {
  beforeAll(async () => {
    await ensurePythonClient();
  });

  it("chats, responds, connects, cancels and deletes", async () => {
    const { prompt, maxTokens } = question;
    expect(await askFromPython(server.url, prompt, maxTokens)).toEqual({
      chat: answer,
      responses: answer,
      connect: answer,
      cancelled: answer,
      deleted: true,
    });
  });
});

describe("with keys", () => {
  const key = "key-of-the-test";
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "mlx-serving-keys-"));
    await writeFile(join(folder, "keys.txt"), `# one key\n${key}\n`);
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it("answers to those who have one, and refuses the others before the socket is open", async () => {
    const keyFlags = ["--api-key-file", join(folder, "keys.txt")];
    await using guarded = await startServer({ flags: ["--engine", "fake", ...keyFlags] });
    for (const apiKey of [undefined, "wrong"]) {
      await expect(connect(guarded.url, { apiKey })).rejects.toMatchObject({
        name: "ConnectError",
        status: 401,
      });
    }
    await using known = await connect(guarded.url, { apiKey: key });
    const body = { input: question.prompt, max_output_tokens: question.maxTokens };
    expect((await known.respond(body).final()).text).toBe(answer);
    const api = openai(guarded.url, key);
    expect(await streamedChat(api, await modelOf(api), question)).toBe(answer);
    expect(await responseOverWebSocket(api, await modelOf(api), question)).toBe(answer);
  });
});

describe("our client", () => {
  const body = (i: number) => ({ input: `Question ${i}`, max_output_tokens: 30 + i });

  it("runs 16 streams at once on one socket, each as if it were alone", async () => {
    const alone: string[] = [];
    for (let i = 0; i < 16; i += 1) alone.push((await client.respond(body(i)).final()).text);
    const streams = Array.from({ length: 16 }, (_, i) => client.respond(body(i)));
    const finals = await Promise.all(streams.map((stream) => stream.final()));
    expect(finals.map(({ text }) => text)).toEqual(alone);
    expect(finals.map(({ usage }) => usage?.output_tokens)).toEqual(
      Array.from({ length: 16 }, (_, i) => 30 + i),
    );
    expect(new Set(alone).size).toBe(16);
  });

  it("gives gapless events that add up to the final text", async () => {
    const stream = client.respond(body(3));
    let text = "";
    const numbers: number[] = [];
    for await (const event of stream) {
      numbers.push(event.sequence_number);
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    expect(numbers).toEqual(numbers.map((_, i) => i));
    expect((await stream.final()).text).toBe(text);
  });

  it("resumes a response on another connection, from any event", async () => {
    const stream = client.respond(body(4));
    const events = [];
    for await (const { stream_id: _, ...event } of stream) events.push(event);
    await using other = await connect(server.url);
    for (const startingAfter of [-1, 0, 7, events.length - 2]) {
      const rest = [];
      const resumed = other.resume(stream.responseId!, { startingAfter });
      for await (const { stream_id: _, ...event } of resumed) rest.push(event);
      expect(rest).toEqual(events.slice(startingAfter + 1));
    }
  });

  it("is told what is wrong with a request, and goes on", async () => {
    await expect(client.respond({ input: "x", temperature: 99 }).final()).rejects.toMatchObject({
      name: "RequestError",
      status: 400,
      param: "temperature",
    });
    await expect(client.respond({ input: "x", model: "none" }).final()).rejects.toMatchObject({
      status: 404,
    });
    await expect(client.resume("resp_none").final()).rejects.toMatchObject({ status: 404 });
    expect((await client.respond(body(1)).final()).text).not.toBe("");
  });

  it("attaches to the same response by an idempotency key", async () => {
    const options = { idempotencyKey: "once" };
    const streams = [client.respond(body(5), options), client.respond(body(5), options)];
    const [one, two] = await Promise.all(streams.map((stream) => stream.final()));
    expect(two?.response.id).toBe(one?.response.id);
    await expect(client.respond(body(6), options).final()).rejects.toMatchObject({ status: 409 });
  });
});
