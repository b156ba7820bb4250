import OpenAI, {
  APIError,
  AuthenticationError,
  BadRequestError,
  NotFoundError,
  RateLimitError,
} from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";
import { describe, expect, it, onTestFinished } from "vitest";
import { ServingError } from "../../../../src-ts/errors.js";
import { hello, helloParts, hold } from "../../support/scripted-engine.js";
import { eventually, startServer } from "../../support/test-server.js";

const messages = [{ role: "user" as const, content: "hi" }];

async function setup(config = {}, apiKey = "none") {
  const started = await startServer(config);
  const client = new OpenAI({ baseURL: `${started.url}/v1`, apiKey, maxRetries: 0 });
  return { ...started, client };
}

describe("the official client", () => {
  it("chats", async () => {
    const { client } = await setup();
    const completion = await client.chat.completions.create({ model: "org/first", messages });
    expect(completion.choices[0]!.message.content).toBe(hello);
    expect(completion.usage!.total_tokens).toBe(7 + helloParts.length);
  });

  it("streams a chat, with its own accumulator too", async () => {
    const { client } = await setup();
    const stream = await client.chat.completions.create({
      model: "org/first",
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage ?? usage;
    }
    expect([text, usage!.completion_tokens]).toEqual([hello, helloParts.length]);
    const runner = client.chat.completions.stream({ model: "org/first", messages });
    expect((await runner.finalChatCompletion()).choices[0]!.message.content).toBe(hello);
  });

  it("cancels a stream that it breaks off", async () => {
    const { client, engine } = await setup();
    engine.script = hold;
    const stream = client.chat.completions.create({ model: "m", messages, stream: true });
    await eventually(() => engine.runs.length === 1);
    engine.runs[0]!.emit("first");
    for await (const _chunk of await stream) break;
    await eventually(() => engine.runs[0]!.log.ending?.kind === "cancelled");
  });

  it("runs a response in the background, polls it, and cancels another", async () => {
    const { client, engine } = await setup();
    let response = await client.responses.create({ model: "m", input: "hi", background: true });
    expect(response).toMatchObject({ status: "queued", background: true });
    while (response.status === "queued" || response.status === "in_progress")
      response = await client.responses.retrieve(response.id);
    expect(response.output_text).toBe(hello);
    engine.script = hold;
    const running = await client.responses.create({ model: "m", input: "hi", background: true });
    expect((await client.responses.cancel(running.id)).status).toBe("cancelled");
  });

  it("streams a response in the background, and goes on with it elsewhere", async () => {
    const { client } = await setup();
    const body = { model: "m", input: "hi", background: true, stream: true } as const;
    const types: string[] = [];
    let id = "";
    for await (const event of await client.responses.create(body)) {
      types.push(event.type);
      if (event.type === "response.created") id = event.response.id;
      if (event.sequence_number === 3) break;
    }
    const rest = await client.responses.retrieve(id, { stream: true, starting_after: 3 });
    for await (const event of rest) types.push(event.type);
    expect(types.at(-1)).toBe("response.completed");
    expect(types.filter((type) => type === "response.output_text.delta")).toHaveLength(
      helloParts.length,
    );
  });

  it("sends fields of its own and of other servers, and reads what was ignored", async () => {
    const { client, engine } = await setup();
    const extra = { top_k: 5, chat_template_kwargs: { a: 1 }, ignore_eos: true, foo: { bar: [1] } };
    const chat = await client.chat.completions
      .create({ model: "m", messages, service_tier: "flex", reasoning_effort: "low", ...extra })
      .withResponse();
    expect(chat.response.headers.get("x-mlx-serving-ignored")).toBe(
      "service_tier, reasoning_effort, ignore_eos, foo",
    );
    const response = await client.responses
      .create({
        model: "m",
        input: "hi",
        truncation: "auto",
        reasoning: { effort: "low" },
        ...extra,
      })
      .withResponse();
    expect(response.response.headers.get("x-mlx-serving-ignored")).toBe(
      "truncation, reasoning.effort, ignore_eos, foo",
    );
    const completion = await client.completions
      .create({ model: "m", prompt: "hi", user: "u", ...extra })
      .withResponse();
    expect(completion.response.headers.get("x-mlx-serving-ignored")).toBe(
      "user, chat_template_kwargs, ignore_eos, foo",
    );
    for (const { sampling } of engine.submissions) expect(sampling.topK).toBe(5);
  });

  it("gets an error of its own class from a strict server, with the field", async () => {
    const { client } = await setup({ strict: true });
    const refused = client.chat.completions.create({ model: "m", messages, service_tier: "flex" });
    await expect(refused).rejects.toBeInstanceOf(BadRequestError);
    await expect(refused).rejects.toMatchObject({ status: 400, param: "service_tier" });
  });

  it("completes", async () => {
    const { client } = await setup();
    const completion = await client.completions.create({ model: "org/first", prompt: ["a", "b"] });
    expect(completion.choices.map(({ text }) => text)).toEqual([hello, hello]);
    let text = "";
    const stream = await client.completions.create({ model: "m", prompt: "a", stream: true });
    for await (const chunk of stream) text += chunk.choices[0]?.text ?? "";
    expect(text).toBe(hello);
  });

  it("responds, retrieves, cancels, deletes", async () => {
    const { client } = await setup();
    const response = await client.responses.create({ model: "org/first", input: "hi" });
    expect(response.output_text).toBe(hello);
    const again = await client.responses.retrieve(response.id);
    expect(again.output_text).toBe(hello);
    expect((await client.responses.cancel(response.id)).status).toBe("completed");
    await client.responses.delete(response.id);
    await expect(client.responses.retrieve(response.id)).rejects.toBeInstanceOf(NotFoundError);
  });

  it("streams a response, with its own accumulator too, and resumes it", async () => {
    const { client } = await setup();
    const stream = await client.responses.create({ model: "org/first", input: "hi", stream: true });
    const events: OpenAI.Responses.ResponseStreamEvent[] = [];
    for await (const event of stream) events.push(event);
    expect(events.at(-1)!.type).toBe("response.completed");
    const [first] = events;
    if (first?.type !== "response.created") throw new Error("no created");
    const rest: OpenAI.Responses.ResponseStreamEvent[] = [];
    const resumed = await client.responses.retrieve(first.response.id, {
      stream: true,
      starting_after: 5,
    });
    for await (const event of resumed) rest.push(event);
    expect(rest).toEqual(events.slice(6));
    const runner = client.responses.stream({ model: "org/first", input: "hi" });
    const { output } = await runner.finalResponse();
    expect(output).toMatchObject([{ content: [{ type: "output_text", text: hello }] }]);
  });

  it("lists models", async () => {
    const { client } = await setup();
    const ids: string[] = [];
    for await (const model of client.models.list()) ids.push(model.id);
    expect(ids).toEqual(["org/first", "second"]);
    expect((await client.models.retrieve("org/first")).id).toBe("org/first");
  });

  it("knows our errors for what they are", async () => {
    const { client, engine, url } = await setup({ apiKeys: ["right"] }, "right");
    const bad = client.chat.completions.create({ model: "m", messages, n: 99 });
    await expect(bad).rejects.toBeInstanceOf(BadRequestError);
    await expect(bad).rejects.toMatchObject({ param: "n", code: "invalid_value", status: 400 });
    engine.refusal = new ServingError("full", { code: "queue_full", status: 429 });
    const full = client.chat.completions.create({ model: "m", messages });
    await expect(full).rejects.toBeInstanceOf(RateLimitError);
    engine.refusal = new ServingError("no model", { code: "model_not_found", status: 404 });
    const missing = client.responses.create({ model: "m", input: "hi" });
    await expect(missing).rejects.toBeInstanceOf(NotFoundError);
    const stranger = new OpenAI({ baseURL: `${url}/v1`, apiKey: "wrong", maxRetries: 0 });
    await expect(stranger.models.list()).rejects.toBeInstanceOf(AuthenticationError);
  });

  it("learns in the middle of a stream that it failed", async () => {
    const { client, engine } = await setup();
    engine.script = hold;
    const stream = client.chat.completions.create({ model: "m", messages, stream: true });
    await eventually(() => engine.runs.length === 1);
    engine.runs[0]!.emit("half");
    let text = "";
    const reading = (async () => {
      for await (const chunk of await stream) {
        text += chunk.choices[0]?.delta.content ?? "";
        if (text === "half") engine.runs[0]!.end({ kind: "expired" });
      }
    })();
    await expect(reading).rejects.toBeInstanceOf(APIError);
    await expect(reading).rejects.toMatchObject({ code: "deadline_exceeded" });
    expect(text).toBe("half");
  });

  it("retries by itself what it is told to retry", async () => {
    const { engine, url } = await setup();
    engine.refusal = new ServingError("full", { code: "queue_full", status: 429, retryAfterS: 0 });
    const patient = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 1 });
    const answer = patient.chat.completions.create({ model: "m", messages });
    await eventually(() => engine.submissions.length === 1);
    engine.refusal = undefined;
    expect((await answer).choices[0]!.message.content).toBe(hello);
  });
});

describe("ResponsesWS", () => {
  async function connect(client: OpenAI): Promise<ResponsesWS> {
    const ws = new ResponsesWS(client);
    onTestFinished(() => ws.close());
    await new Promise((resolve) => ws.socket.once("open", resolve));
    return ws;
  }

  it("streams a response, many in a row", async () => {
    const { client } = await setup({ apiKeys: ["key"] }, "key");
    const ws = await connect(client);
    for (let round = 0; round < 3; round++) {
      let text = "";
      const onDelta = ({ delta }: { delta: string }) => {
        text += delta;
      };
      ws.on("response.output_text.delta", onDelta);
      const completed = new Promise<OpenAI.Responses.Response>((resolve) => {
        ws.once("response.completed", ({ response }) => resolve(response));
      });
      ws.send({ type: "response.create", model: "org/first", input: "hi", tools: [] });
      const response = await completed;
      ws.off("response.output_text.delta", onDelta);
      expect(text).toBe(hello);
      expect(response.status).toBe("completed");
    }
  });

  it("is told about errors and stays open", async () => {
    const { client } = await setup();
    const ws = await connect(client);
    const failed = new Promise<Error & { error?: unknown }>((resolve) => ws.once("error", resolve));
    ws.send({ type: "response.create", input: "hi", background: true });
    expect((await failed).error).toMatchObject({
      type: "error",
      status: 400,
      error: { param: "background", code: "unsupported_parameter" },
    });
    const completed = new Promise((resolve) => ws.once("response.completed", resolve));
    ws.send({ type: "response.create", input: "hi", stream: true });
    await completed;
  });

  it("passes on what is newer than itself: steering, and the input that comes back", async () => {
    const { client } = await setup();
    const ws = await connect(client);
    const failed = new Promise<unknown>((resolve) => ws.once("event", resolve));
    const steer = { previous_response_id: "resp_1", input: "Go on." };
    ws.send({ type: "response.steer", ...steer } as never);
    expect(await failed).toMatchObject({
      type: "response.steer.failed",
      steer,
      error: { code: "response_not_found" },
    });
  });
});
