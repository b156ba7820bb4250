/** What a socket remembers of its unstored responses. */
import { describe, expect, it } from "vitest";
import { hello, hold } from "../../support/scripted-engine.js";
import { startServer } from "../../support/test-server.js";
import { openSocket, type TestSocket } from "../../support/test-socket.js";

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

/** Its id, once it has ended. */
async function answered(socket: TestSocket, fields: object): Promise<string> {
  const count = socket.events.filter(({ type }) => type === "response.completed").length;
  socket.create({ store: false, ...fields });
  return (await socket.type("response.completed", count + 1)).response.id;
}

async function refused(socket: TestSocket, previous_response_id: string, fields: object = {}) {
  const count = socket.events.filter(({ type }) => type === "error").length;
  socket.create({ store: false, ...fields, previous_response_id });
  const { status, error } = await socket.type("error", count + 1);
  expect([status, error.param]).toEqual([400, "previous_response_id"]);
  return error.code;
}

describe("a socket", () => {
  it("goes on from its own unstored response, however often", async () => {
    const { url, engine } = await startServer();
    const socket = await openSocket(url);
    let previous_response_id: string | undefined;
    for (const input of ["one", "two", "three"])
      previous_response_id = await answered(socket, { input, previous_response_id });
    expect(engine.submissions.at(-1)!.input).toMatchObject({
      messages: [user("one"), assistant(hello), user("two"), assistant(hello), user("three")],
    });
    expect(socket.events.at(-1)!.response.previous_response_id).toMatch(/^resp_/);
  });

  it("goes on from what it has prefilled", async () => {
    const { url, engine } = await startServer();
    const socket = await openSocket(url);
    engine.script = (run) => {
      run.start();
      run.end({ kind: "stop" });
    };
    const first = await answered(socket, { input: "one", generate: false });
    socket.create({ input: undefined, previous_response_id: first, store: false });
    await socket.type("response.completed", 2);
    expect(engine.submissions[1]!.input).toMatchObject({ messages: [user("one")] });
    await answered(socket, { generate: false, instructions: "A", input: [] });
  });

  it("forks a chain onto another lane", async () => {
    const { url, engine } = await startServer();
    const socket = await openSocket(url);
    const first = await answered(socket, { input: "one", stream_id: "a" });
    await answered(socket, { input: "two", stream_id: "b", previous_response_id: first });
    expect(engine.submissions[1]!.input).toMatchObject({
      messages: [user("one"), assistant(hello), user("two")],
    });
  });

  it("remembers for itself alone, and nothing behind its end", async () => {
    const { url, post } = await startServer();
    const [one, other] = [await openSocket(url), await openSocket(url)];
    const id = await answered(one, {});
    expect(await refused(other, id)).toBe("previous_response_not_found");
    const over = await post("/v1/responses", { input: "hi", previous_response_id: id });
    expect(over.status).toBe(400);
    one.ws.close();
    await one.closed;
    expect(await refused(await openSocket(url), id)).toBe("previous_response_not_found");
    // The other one is still of use.
    await answered(other, {});
  });

  it("finds what is stored by its id alone", async () => {
    const { url, post } = await startServer();
    const [one, other] = [await openSocket(url), await openSocket(url)];
    const id = await answered(one, { store: true });
    await answered(other, { previous_response_id: id });
    const over = await post("/v1/responses", { input: "hi", previous_response_id: id });
    expect(over.status).toBe(200);
    await fetch(`${url}/v1/responses/${id}`, { method: "DELETE" });
    expect(await refused(one, id)).toBe("previous_response_not_found");
  });

  it("stores what goes on from what is not", async () => {
    const { url, post, engine } = await startServer();
    const socket = await openSocket(url);
    const first = await answered(socket, { input: "one" });
    const second = await answered(socket, {
      input: "two",
      store: true,
      previous_response_id: first,
    });
    await post("/v1/responses", { input: "three", previous_response_id: second });
    expect(engine.submissions.at(-1)!.input).toMatchObject({
      messages: [user("one"), assistant(hello), user("two"), assistant(hello), user("three")],
    });
  });

  it("forgets the oldest of too many", async () => {
    const { url } = await startServer({ limits: { rememberedResponsesMax: 3 } });
    const socket = await openSocket(url);
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.push(await answered(socket, {}));
    for (const id of ids.slice(0, 2))
      expect(await refused(socket, id)).toBe("previous_response_not_found");
    for (const id of ids.slice(3)) await answered(socket, { previous_response_id: id });
  });

  it("forgets the oldest of what takes too much", async () => {
    const { url } = await startServer({ limits: { rememberedBytesMax: 8_000 } });
    const socket = await openSocket(url);
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) ids.push(await answered(socket, { input: "x".repeat(1_500) }));
    expect(await refused(socket, ids[0]!)).toBe("previous_response_not_found");
    // One that alone is more than there is room for takes nothing from the others.
    const huge = await answered(socket, { input: "x".repeat(5_000) });
    expect(await refused(socket, huge)).toBe("previous_response_not_found");
    for (const id of ids.slice(1))
      await answered(socket, { store: true, previous_response_id: id });
    // The whole of a conversation counts.
    const long = { input: "x".repeat(3_000), previous_response_id: ids[2] };
    expect(await refused(socket, await answered(socket, long))).toBe("previous_response_not_found");
  });

  it("does not go on from what runs, and waits in one lane", async () => {
    const { url, engine } = await startServer();
    engine.script = hold;
    const socket = await openSocket(url);
    socket.create({ store: false, stream_id: "a", input: "one" });
    const { response } = await socket.type("response.in_progress");
    const other = { stream_id: "b" };
    expect(await refused(socket, response.id, other)).toBe("previous_response_in_progress");
    socket.create({ stream_id: "a", input: "two", previous_response_id: response.id });
    engine.runs[0]!.emit("x");
    engine.runs[0]!.end({ kind: "length" });
    await socket.type("response.in_progress", 2);
    expect(engine.submissions[1]!.input).toMatchObject({
      messages: [user("one"), assistant("x"), user("two")],
    });
  });

  it("does not remember what failed", async () => {
    const { url, engine } = await startServer();
    engine.script = (run) => {
      run.start();
      run.end({ kind: "failed", code: "generation_error", message: "m" });
    };
    const socket = await openSocket(url);
    socket.create({ store: false });
    const { response } = await socket.ended();
    expect(await refused(socket, response.id)).toBe("previous_response_not_found");
  });

  it("is not closed for ids that it doesn't know", async () => {
    const { url } = await startServer({ limits: { badMessagesMax: 3 } });
    const socket = await openSocket(url);
    for (let i = 0; i < 5; i++) await refused(socket, `resp_${i}`);
    await answered(socket, {});
  });
});
