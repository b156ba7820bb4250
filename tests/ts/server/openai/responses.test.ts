import { describe, expect, it } from "vitest";
import {
  DeletedResponse,
  ErrorResponse,
  ResponseObject,
  ResponseStreamEvent,
} from "../../../../src-ts/protocol/index.js";
import { hello, helloParts, hold, say } from "../../support/scripted-engine.js";
import { eventually, parseSse, type SseEvent, startServer } from "../../support/test-server.js";
import { openSocket } from "../../support/test-socket.js";

function checked(events: readonly SseEvent[]): ResponseStreamEvent[] {
  return events.map(({ event, data }) => {
    const parsed = ResponseStreamEvent.parse(JSON.parse(data));
    expect(event).toBe(parsed.type);
    return parsed;
  });
}

describe("a stream", () => {
  it("has all events, numbered from 0 without gaps, and one end", async () => {
    const { post } = await startServer();
    const answer = await post("/v1/responses", { input: "hi", stream: true });
    const events = checked(parseSse(await answer.text()).events);
    expect(events.map(({ type }) => type)).toEqual([
      "response.created",
      "response.queued",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      ...helloParts.map(() => "response.output_text.delta"),
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.completed",
    ]);
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, index) => index));
    expect(events.some((event) => "stream_id" in event)).toBe(false);
    const text = events.map((event) =>
      event.type === "response.output_text.delta" ? event.delta : "",
    );
    expect(text.join("")).toBe(hello);
    const last = events.at(-1)!;
    if (last.type !== "response.completed") throw new Error(last.type);
    expect(last.response).toMatchObject({
      status: "completed",
      store: true,
      usage: {
        input_tokens: 7,
        output_tokens: helloParts.length,
        input_tokens_details: { cached_tokens: 3 },
      },
      output: [{ type: "message", status: "completed", content: [{ text: hello }] }],
    });
  });

  it("can be read again from every number, byte for byte", async () => {
    const { post, get } = await startServer();
    const whole = await (await post("/v1/responses", { input: "hi", stream: true })).text();
    const blocks = whole.split("\n\n").filter((block) => block !== "");
    const [first] = checked(parseSse(whole).events);
    if (first?.type !== "response.created") throw new Error("no created");
    const { id } = first.response;
    for (let after = -1; after < blocks.length; after++) {
      const answer = await get(`/v1/responses/${id}?stream=true&starting_after=${after}`);
      expect(answer.status, String(after)).toBe(200);
      const rest = blocks.slice(after + 1);
      expect(await answer.text()).toBe(rest.map((block) => `${block}\n\n`).join(""));
      if (after === blocks.length - 1) break;
    }
    const future = await get(`/v1/responses/${id}?stream=true&starting_after=${blocks.length}`);
    expect(future.status).toBe(400);
    expect(ErrorResponse.parse(await future.json()).error.code).toBe("invalid_cursor");
  });

  it("can be followed while it runs, by several readers", async () => {
    const { post, get, engine } = await startServer();
    engine.script = hold;
    const first = post("/v1/responses", { input: "hi", stream: true });
    await eventually(() => engine.runs.length === 1);
    const [run] = engine.runs;
    run!.emit("one ");
    const second = get(`/v1/responses/${run!.log.id}?stream=true&starting_after=3`);
    await eventually(() => run!.log.readers === 2);
    run!.emit("two");
    run!.end({ kind: "stop" });
    const all = checked(parseSse(await (await first).text()).events);
    const rest = checked(parseSse(await (await second).text()).events);
    expect(rest).toEqual(all.slice(4));
  });

  it("gives log probabilities if asked for", async () => {
    const { post } = await startServer();
    const body = {
      input: "hi",
      stream: true,
      include: ["message.output_text.logprobs"],
      top_logprobs: 2,
    };
    const events = checked(parseSse(await (await post("/v1/responses", body)).text()).events);
    const done = events.find(({ type }) => type === "response.output_text.done");
    if (done?.type !== "response.output_text.done") throw new Error("no done");
    expect(done.logprobs.map(({ token }) => token)).toEqual(helloParts);
    expect(done.logprobs[0]!.top_logprobs).toHaveLength(2);
  });
});

it("a fault of ours in the middle of a stream is its last event, and is logged", async () => {
  const { post, engine, logs } = await startServer();
  engine.script = hold;
  const answer = await post("/v1/responses", { input: "hi", stream: true });
  Object.defineProperty(engine.runs[0]!.log, "output", {
    get: () => {
      throw new Error("secret detail");
    },
  });
  engine.runs[0]!.end({ kind: "stop" });
  const { events } = parseSse(await answer.text());
  const last = events.at(-1)!;
  expect(last.event).toBe("error");
  expect(JSON.parse(last.data)).toMatchObject({ status: 500, error: { code: "internal_error" } });
  expect(last.data).not.toContain("secret");
  expect(logs.some((line) => line.includes("stream failed"))).toBe(true);
});

describe("one answer", () => {
  it("repeats what was asked", async () => {
    const { post } = await startServer();
    const asked = {
      instructions: "be kind",
      metadata: { a: "b" },
      max_output_tokens: 50,
      temperature: 0.5,
      top_p: 0.9,
      presence_penalty: 0.5,
      frequency_penalty: -1.5,
      user: "ann",
      safety_identifier: "s",
      prompt_cache_key: "p",
      tool_choice: "none",
      parallel_tool_calls: false,
      store: false,
    };
    const answer = await post("/v1/responses", { input: "hi", ...asked });
    expect(ResponseObject.parse(await answer.json())).toMatchObject({
      ...asked,
      model: "org/first",
      status: "completed",
      output: [{ content: [{ text: hello }] }],
    });
  });

  it("says how it was sampled where the request didn't", async () => {
    const { post } = await startServer();
    const answer = await post("/v1/responses", { input: "hi", top_p: 0.25 });
    expect(ResponseObject.parse(await answer.json())).toMatchObject({
      temperature: 0.5,
      top_p: 0.25,
      presence_penalty: 0,
      frequency_penalty: 0,
    });
  });

  it("has penalties as numbers in every event that shows it, on every way", async () => {
    const { post, get, url } = await startServer();
    const penalties = { presence_penalty: 1, frequency_penalty: -0.5 };
    const body = { input: "hi", ...penalties };
    const streamed = await post("/v1/responses", { ...body, stream: true });
    const { events } = parseSse(await streamed.text());
    const socket = await openSocket(url);
    socket.create(body);
    const { response } = await socket.ended();
    const replayed = await get(`/v1/responses/${response.id}?stream=true`);
    const shown = [
      ...events.map(({ data }) => JSON.parse(data)),
      ...socket.events,
      ...parseSse(await replayed.text()).events.map(({ data }) => JSON.parse(data)),
    ].flatMap((event) => ("response" in event ? [event.response] : []));
    expect(shown.length).toBe(3 * 4);
    for (const one of shown) expect(one).toMatchObject(penalties);
    const kept = await (await get(`/v1/responses/${response.id}`)).json();
    const cancelled = await (await post(`/v1/responses/${response.id}/cancel`, {})).json();
    for (const one of [kept, cancelled]) expect(one).toMatchObject(penalties);
  });

  it("is made from instructions and messages", async () => {
    const { post, engine } = await startServer();
    await post("/v1/responses", {
      instructions: "be kind",
      input: [
        {
          role: "user",
          content: [
            { type: "input_text", text: "one " },
            { type: "input_text", text: "two" },
          ],
        },
        {
          id: "msg_1",
          type: "message",
          role: "assistant",
          status: "completed",
          content: [{ type: "output_text", text: "three", annotations: [], logprobs: [] }],
        },
      ],
      max_output_tokens: 3,
    });
    expect(engine.submissions[0]).toMatchObject({
      maxTokens: 3,
      store: true,
      abandonment: { kind: "keep" },
      input: {
        kind: "chat",
        messages: [
          { role: "system", content: "be kind" },
          { role: "user", content: "one two" },
          { role: "assistant", content: "three" },
        ],
      },
    });
  });

  it("takes its own output as input", async () => {
    const { post } = await startServer();
    const first = ResponseObject.parse(await (await post("/v1/responses", { input: "hi" })).json());
    const input = [...first.output, { role: "user", content: "and?" }];
    expect((await post("/v1/responses", { input })).status).toBe(200);
  });
});

describe("a response by its id", () => {
  it("can be fetched while it runs and after, until it is deleted", async () => {
    const { post, get, engine, url } = await startServer();
    engine.script = hold;
    const answer = post("/v1/responses", { input: "hi" });
    await eventually(() => engine.runs.length === 1);
    const [run] = engine.runs;
    const { id } = run!.log;
    const fetched = async () =>
      ResponseObject.parse(await (await get(`/v1/responses/${id}`)).json());
    expect(await fetched()).toMatchObject({ status: "in_progress", output: [], usage: null });
    run!.emit("half");
    expect(await fetched()).toMatchObject({
      status: "in_progress",
      output: [{ status: "in_progress", content: [{ text: "half" }] }],
    });
    run!.end({ kind: "stop" });
    expect(ResponseObject.parse(await (await answer).json())).toEqual(await fetched());
    const removed = await fetch(`${url}/v1/responses/${id}`, { method: "DELETE" });
    expect(DeletedResponse.parse(await removed.json())).toEqual({
      id,
      object: "response",
      deleted: true,
    });
    const gone = await get(`/v1/responses/${id}`);
    expect(gone.status).toBe(404);
    expect(ErrorResponse.parse(await gone.json()).error.code).toBe("response_not_found");
  });

  it("can be cancelled, once or twice", async () => {
    const { post, engine } = await startServer();
    engine.script = hold;
    const answer = post("/v1/responses", { input: "hi", stream: true });
    await eventually(() => engine.runs.length === 1);
    const { id } = engine.runs[0]!.log;
    engine.runs[0]!.emit("half");
    for (let i = 0; i < 2; i++) {
      const cancelled = await post(`/v1/responses/${id}/cancel`, {});
      expect(ResponseObject.parse(await cancelled.json())).toMatchObject({
        status: "cancelled",
        incomplete_details: { reason: "cancelled" },
        output: [{ status: "incomplete", content: [{ text: "half" }] }],
      });
    }
    const events = checked(parseSse(await (await answer).text()).events);
    expect(events.filter(({ type }) => type === "response.incomplete")).toHaveLength(1);
  });

  it("is no chat completion's", async () => {
    const { post, get, engine } = await startServer();
    engine.script = hold;
    const answer = post("/v1/chat/completions", { messages: [{ role: "user", content: "hi" }] });
    await eventually(() => engine.runs.length === 1);
    const { id } = engine.runs[0]!.log;
    expect((await get(`/v1/responses/${id}`)).status).toBe(404);
    expect((await post(`/v1/responses/${id}/cancel`, {})).status).toBe(404);
    engine.runs[0]!.end({ kind: "stop" });
    expect((await answer).status).toBe(200);
  });

  it.each([
    ["stream=maybe", "stream"],
    ["stream=true&starting_after=x", "starting_after"],
    ["stream=true&starting_after=-2", "starting_after"],
    ["starting_after=1", "starting_after"],
    ["stream=yes", "stream"],
    ["stream=true&starting_after=-2", "starting_after"],
  ])("is asked for with parameters that are right: %s", async (query, param) => {
    const { post, get } = await startServer();
    const { id } = ResponseObject.parse(
      await (await post("/v1/responses", { input: "hi" })).json(),
    );
    const answer = await get(`/v1/responses/${id}?${query}`);
    expect(answer.status).toBe(400);
    expect(ErrorResponse.parse(await answer.json()).error.param).toBe(param);
  });
});

describe("a reader that goes", () => {
  async function leave(body: object) {
    const setup = await startServer({ resumeGraceMs: 150 });
    setup.engine.script = hold;
    const controller = new AbortController();
    const { signal } = controller;
    const answer = await setup.post(
      "/v1/responses",
      { input: "hi", stream: true, ...body },
      { signal },
    );
    await answer.body!.getReader().read();
    controller.abort();
    const [run] = setup.engine.runs;
    await eventually(() => run!.log.readers === 0);
    return { ...setup, run: run! };
  }

  it("leaves an unstored response running for the grace, then it is cancelled", async () => {
    const { run } = await leave({ store: false });
    expect(run.log.ending).toBeUndefined();
    await eventually(() => run.log.ending?.kind === "cancelled");
  });

  it("can come back within the grace", async () => {
    const { run, get } = await leave({ store: false });
    const answer = get(`/v1/responses/${run.log.id}?stream=true&starting_after=-1`);
    await eventually(() => run.log.readers === 1);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(run.log.ending).toBeUndefined();
    run.emit("still here");
    run.end({ kind: "stop" });
    const events = checked(parseSse(await (await answer).text()).events);
    expect(events.at(-1)!.type).toBe("response.completed");
  });

  it("leaves a stored one running to its end", async () => {
    const { run, get } = await leave({ store: true });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(run.log.ending).toBeUndefined();
    say(["end"])({ ...run, start() {} });
    await eventually(() => run.log.ending?.kind === "stop");
    expect((await get(`/v1/responses/${run.log.id}`)).status).toBe(200);
  });
});
