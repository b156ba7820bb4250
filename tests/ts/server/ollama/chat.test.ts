/** POST /api/chat and /api/generate over HTTP: lines, whole answers, refusals, and what ends badly. */
import { describe, expect, it } from "vitest";
import { ServingError } from "../../../../src-ts/errors.js";
import { OllamaChat, OllamaError, OllamaGeneration } from "../../../../src-ts/protocol/ollama.js";
import { hello, helloParts, hold, say } from "../../support/scripted-engine.js";
import { eventually, startServer } from "../../support/test-server.js";

const messages = [{ role: "user", content: "Hi" }];
const body = { model: "second", messages };
const usage = { prompt_eval_count: 7, eval_count: helloParts.length };
const failed = { kind: "failed", code: "generation_error", message: "It failed." } as const;

async function refused(answer: globalThis.Response) {
  return { status: answer.status, ...OllamaError.parse(await answer.json()) };
}

describe("a chat", () => {
  it("is streamed, if nothing is said of it", async () => {
    const { post } = await startServer();
    const answer = await post("/api/chat", body);
    expect(answer.headers.get("content-type")).toBe("application/x-ndjson");
    const text = await answer.text();
    expect(text.endsWith("\n")).toBe(true);
    const lines = text
      .trimEnd()
      .split("\n")
      .map((line) => OllamaChat.parse(JSON.parse(line)));
    expect(lines.map(({ message: { content } }) => content)).toEqual([...helloParts, ""]);
    expect(lines.map(({ model }) => model)).toEqual(lines.map(() => "second"));
    expect(lines.at(-1)).toMatchObject({ done: true, done_reason: "stop", ...usage });
  });

  it("is answered whole", async () => {
    const { post, engine } = await startServer();
    const answer = await post("/api/chat", { ...body, stream: false });
    expect(OllamaChat.parse(await answer.json())).toMatchObject({
      model: "second",
      message: { role: "assistant", content: hello },
      done: true,
      ...usage,
    });
    expect(engine.runs[0]!.log.id).toMatch(/^ollama_/);
  });

  it.each(["second:latest", "second"])("finds its model by %s", async (model) => {
    const { post } = await startServer();
    const answer = await post("/api/chat", { ...body, model, stream: false });
    expect(OllamaChat.parse(await answer.json()).model).toBe("second");
  });

  it("without messages says that its model is loaded", async () => {
    const { post, engine } = await startServer();
    const answer = await post("/api/chat", { model: "second", messages: [], keep_alive: 0 });
    const { model, done_reason } = OllamaChat.parse(await answer.json());
    expect([model, done_reason]).toEqual(["second", "load"]);
    expect(answer.headers.get("x-mlx-serving-ignored")).toBe("keep_alive");
    expect(engine.runs).toHaveLength(0);
    const missing = await refused(await post("/api/chat", { model: "none" }));
    expect(missing).toMatchObject({ status: 404, error: expect.stringContaining("/api/tags") });
  });

  it("says what it does not follow, and follows nothing of it if it is strict", async () => {
    const given = { ...body, think: "high", keep_alive: "5m", options: { num_ctx: 4096, odd: 1 } };
    const { post } = await startServer();
    const answer = await post("/api/chat", given);
    await answer.text();
    const ignored = answer.headers.get("x-mlx-serving-ignored")!.split(", ");
    expect(ignored.toSorted()).toEqual(["keep_alive", "options.num_ctx", "options.odd", "think"]);
    const strict = await startServer({ strict: true });
    expect((await refused(await strict.post("/api/chat", given))).status).toBe(400);
  });

  it("is kept alive between its lines by what no reader of JSON sees", async () => {
    const { post, engine } = await startServer({ limits: { sseKeepAliveMs: 10 } });
    engine.script = hold;
    const answer = post("/api/chat", body);
    await eventually(() => engine.runs.length === 1);
    const reader = (await answer).body!.getReader();
    const decoder = new TextDecoder();
    let text = "";
    while (text.length < 2) text += decoder.decode((await reader.read()).value);
    engine.runs[0]!.emit("Hello");
    engine.runs[0]!.end({ kind: "stop" });
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      text += decoder.decode(value);
    }
    const lines = text
      .trimEnd()
      .split("\n")
      .map((line) => OllamaChat.parse(JSON.parse(line)));
    expect(lines.map(({ message: { content } }) => content)).toEqual(["Hello", ""]);
  });
});

describe("a generation", () => {
  it("is streamed, and whole", async () => {
    const { post } = await startServer();
    const asked = { model: "second", prompt: "Hi" };
    const text = await (await post("/api/generate", asked)).text();
    const lines = text
      .trimEnd()
      .split("\n")
      .map((line) => OllamaGeneration.parse(JSON.parse(line)));
    expect(lines.map(({ response }) => response).join("")).toBe(hello);
    const whole = await (await post("/api/generate", { ...asked, stream: false })).json();
    expect(OllamaGeneration.parse(whole)).toMatchObject({ response: hello, done: true, ...usage });
  });

  it("without a prompt says that its model is loaded", async () => {
    const { post } = await startServer();
    const answer = await (await post("/api/generate", { model: "second" })).json();
    expect(OllamaGeneration.parse(answer)).toMatchObject({ response: "", done_reason: "load" });
  });
});

describe("what goes wrong", () => {
  it("is a text, with its status", async () => {
    const { post, engine } = await startServer();
    const pictured = { messages: [{ ...messages[0], images: ["aGk="] }] };
    const image = await refused(await post("/api/chat", pictured));
    expect(image).toEqual({
      status: 400,
      error: "messages[0].images: An image is not supported by this server.",
    });
    engine.refusal = new ServingError("full", { code: "queue_full", status: 429 });
    expect(await refused(await post("/api/chat", body))).toEqual({ status: 429, error: "full" });
    engine.refusal = new ServingError("input is too long.", {
      code: "context_length_exceeded",
      status: 400,
      param: "input",
    });
    const long = await refused(await post("/api/generate", { prompt: "Hi" }));
    expect(long.error).toBe("prompt is too long.");
  });

  it("before the first line has its status, and after it is the last line", async () => {
    const { post, engine } = await startServer();
    engine.script = say([], failed);
    const early = await refused(await post("/api/chat", body));
    expect(early).toEqual({ status: 500, error: "It failed." });
    const whole = await refused(await post("/api/chat", { ...body, stream: false }));
    expect(whole).toEqual(early);
    engine.script = say(["a"], failed);
    const late = await post("/api/chat", body);
    const lines = (await late.text()).trimEnd().split("\n");
    expect([late.status, lines.length]).toEqual([200, 2]);
    expect(OllamaError.parse(JSON.parse(lines[1]!))).toEqual({ error: "It failed." });
  });

  it("is a key that is wrong, a method, or a route that is not served", async () => {
    const { get, post } = await startServer({ apiKeys: ["key"] });
    expect((await refused(await post("/api/chat", body))).status).toBe(401);
    const headers = { authorization: "Bearer key" };
    expect((await refused(await get("/api/chat", { headers }))).status).toBe(405);
    const unknown = await refused(await post("/api/pull", { model: "x" }, { headers }));
    expect(unknown).toMatchObject({
      status: 404,
      error: expect.stringContaining("POST /api/pull"),
    });
  });
});

it("ends what it asked for when the client leaves", async () => {
  const { post, engine } = await startServer();
  engine.script = hold;
  const leaving = new AbortController();
  const answer = post("/api/chat", { ...body, stream: false }, { signal: leaving.signal });
  await eventually(() => engine.runs.length === 1);
  leaving.abort();
  await expect(answer).rejects.toThrow();
  await eventually(() => engine.runs[0]!.log.ending?.kind === "cancelled");
});
