import { describe, expect, it } from "vitest";
import { ResponseObject } from "../../../../src-ts/protocol/index.js";
import { responseObject } from "../../../../src-ts/server/render/response-object.js";
import { hello, hold } from "../../support/scripted-engine.js";
import { eventually, parseSse, startServer } from "../../support/test-server.js";
import { openSocket } from "../../support/test-socket.js";

const background = { input: "hi", background: true };

async function object(answer: Response): Promise<ResponseObject> {
  return ResponseObject.parse(await answer.json());
}

describe("a response in the background", () => {
  it("is answered at once as queued, and read by its id until it has ended", async () => {
    const { post, get, engine } = await startServer();
    engine.script = () => {};
    const queued = await object(await post("/v1/responses", background));
    expect(queued).toMatchObject({ status: "queued", background: true, store: true, output: [] });
    const { id } = queued;
    const read = async () => object(await get(`/v1/responses/${id}`));
    expect(await read()).toMatchObject({ status: "queued", background: true });
    const run = engine.runs[0]!;
    run.start();
    expect(await read()).toMatchObject({ status: "in_progress", background: true });
    run.emit("Hello");
    expect((await read()).output).toMatchObject([{ content: [{ text: "Hello" }] }]);
    run.end({ kind: "stop" });
    expect(await read()).toMatchObject({ id, status: "completed", background: true });
  });

  it("goes on when nobody reads it", async () => {
    const { post, engine } = await startServer({ resumeGraceMs: 0 });
    engine.script = hold;
    await post("/v1/responses", background);
    const run = engine.runs[0]!;
    expect(run.submission).toMatchObject({ store: true, abandonment: { kind: "keep" } });
    run.emit("x");
    expect(run.log.ending).toBeUndefined();
  });

  it("is cancelled by POST", async () => {
    const { post, engine } = await startServer();
    engine.script = hold;
    const { id } = await object(await post("/v1/responses", background));
    expect(await object(await post(`/v1/responses/${id}/cancel`, {}))).toMatchObject({
      status: "cancelled",
      background: true,
    });
  });

  /** vllm-project/vllm#57999: a finished one was called synchronous. */
  it("that has ended, or was cancelled, is answered as it is when it is cancelled", async () => {
    const { post, get, engine } = await startServer();
    const { id } = await object(await post("/v1/responses", background));
    const cancel = async (one: string) => object(await post(`/v1/responses/${one}/cancel`, {}));
    while ((await object(await get(`/v1/responses/${id}`))).status !== "completed");
    expect(await cancel(id)).toMatchObject({ id, status: "completed", background: true });
    engine.script = hold;
    const second = await object(await post("/v1/responses", background));
    for (let i = 0; i < 3; i++)
      expect(await cancel(second.id)).toMatchObject({ id: second.id, status: "cancelled" });
  });

  it("is deleted, running or not", async () => {
    const { post, get, engine, url } = await startServer();
    engine.script = hold;
    const { id } = await object(await post("/v1/responses", background));
    expect((await fetch(`${url}/v1/responses/${id}`, { method: "DELETE" })).status).toBe(200);
    expect((await get(`/v1/responses/${id}`)).status).toBe(404);
    expect(engine.runs[0]!.log.ending?.kind).toBe("cancelled");
  });

  it("streams too, queued from its first event on, and is resumed after any", async () => {
    const { post, get, engine } = await startServer();
    const answer = await post("/v1/responses", { ...background, stream: true });
    const whole = await answer.text();
    const events = parseSse(whole).events.map(({ data }) => JSON.parse(data));
    expect(events[0]).toMatchObject({
      type: "response.created",
      response: { status: "queued", background: true },
    });
    expect(events.at(-1)).toMatchObject({
      type: "response.completed",
      response: { background: true },
    });
    const { id } = events[0].response;
    for (const after of [-1, 0, 3, events.length - 1]) {
      const path = `/v1/responses/${id}?stream=true&starting_after=${after}`;
      const rest = await (await get(path)).text();
      expect(whole.endsWith(rest)).toBe(true);
      expect(parseSse(rest).events).toHaveLength(events.length - after - 1);
    }
    expect(engine.runs).toHaveLength(1);
  });

  it("whose stream is broken off is read on by its id", async () => {
    const { post, get, engine } = await startServer();
    engine.script = hold;
    const controller = new AbortController();
    const body = { ...background, stream: true };
    const answer = await post("/v1/responses", body, { signal: controller.signal });
    await answer.body!.getReader().read();
    controller.abort();
    const run = engine.runs[0]!;
    await eventually(() => run.log.readers === 0);
    run.emit(hello);
    run.end({ kind: "stop" });
    const { id } = run.log;
    const rest = await (await get(`/v1/responses/${id}?stream=true&starting_after=1`)).text();
    expect(parseSse(rest).events.at(-1)!.event).toBe("response.completed");
  });

  it("of an idempotency key that has ended is given as it is", async () => {
    const { post } = await startServer();
    const headers = { "idempotency-key": "k" };
    const first = await object(await post("/v1/responses", background, { headers }));
    expect(first.status).toBe("queued");
    await eventually(() => true);
    let again = await object(await post("/v1/responses", background, { headers }));
    while (again.status === "queued")
      again = await object(await post("/v1/responses", background, { headers }));
    expect(again).toMatchObject({ id: first.id, status: "completed" });
  });

  it("needs to be stored", async () => {
    const { post, engine } = await startServer();
    for (const fields of [{ store: false }, { store: false, stream: true }]) {
      const answer = await post("/v1/responses", { ...background, ...fields });
      expect(answer.status).toBe(400);
      expect(await answer.json()).toMatchObject({
        error: { param: "background", code: "invalid_value" },
      });
    }
    for (const store of [true, null])
      expect((await post("/v1/responses", { ...background, store })).status).toBe(200);
    expect(engine.submissions).toHaveLength(2);
  });

  it.each([false, null])("is none where background is %s", async (value) => {
    const { post } = await startServer();
    const answer = await object(await post("/v1/responses", { input: "hi", background: value }));
    expect(answer).toMatchObject({ status: "completed", background: false });
  });

  it("is refused over WebSocket, by name; what says nothing is taken", async () => {
    const { url } = await startServer();
    const socket = await openSocket(url);
    socket.create({ background: true, event_id: "e" });
    expect(await socket.type("error")).toMatchObject({
      status: 400,
      event_id: "e",
      error: { code: "unsupported_parameter", param: "background" },
    });
    socket.create({ background: false });
    socket.create({ background: null });
    const last = await socket.ended(2);
    expect(last.response.background).toBe(false);
  });

  it("says the truth of what an older version stored", async () => {
    const { post, engine } = await startServer();
    await post("/v1/responses", { input: "hi" });
    const { log } = engine.runs[0]!;
    const { background: _, ...older } = log.echo as Record<string, unknown>;
    const restored = Object.create(log, { echo: { value: older } });
    expect(ResponseObject.parse(responseObject(restored)).background).toBe(false);
  });
});
