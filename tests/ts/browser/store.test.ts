import { describe, expect, it } from "vitest";
import { z } from "zod";
import type { ResponseStatus } from "../../../src-ts/browser/index.js";
import { createResponseStore } from "../../../src-ts/browser/index.js";
import { Script } from "../client/support/fake-server.js";
import { turn, VirtualWorld } from "../client/support/virtual.js";

/** A store whose every change is noted, over a client whose server the test plays. */
async function storeOf(world: VirtualWorld, updates: "frame" | "event" = "event") {
  const client = await world.connect();
  const store = createResponseStore(client, { updates });
  const statuses: ResponseStatus[] = [];
  const texts: string[] = [];
  store.subscribe(() => {
    const { status, text } = store.getSnapshot();
    if (statuses.at(-1) !== status) statuses.push(status);
    texts.push(text);
  });
  return { client, store, statuses, texts };
}

/** The server's side of the response that was asked for last. */
async function played(world: VirtualWorld, id = "resp_1"): Promise<Script> {
  await turn();
  const { stream_id } = world.socket.sent.findLast(({ stream_id: lane }) => lane !== undefined)!;
  return new Script(world.socket, id, stream_id).created();
}

describe("send", () => {
  it("shows a response from its beginning to its end", async () => {
    const world = new VirtualWorld();
    const { store, statuses } = await storeOf(world);
    expect(store.getSnapshot()).toBe(store.getServerSnapshot());
    const sending = store.send({ input: "Hi" });
    expect(store.getSnapshot()).toMatchObject({ status: "waiting", running: true });
    (await played(world)).delta("one ").delta("two").completed();
    const final = await sending;
    expect(final).toMatchObject({ text: "one two", response: { id: "resp_1" } });
    expect(store.getSnapshot()).toMatchObject({
      ...{ status: "completed", running: false, text: "one two", responseId: "resp_1" },
      usage: { input_tokens: 3 },
    });
    expect(statuses).toEqual(["waiting", "streaming", "completed"]);
  });

  it("shows text that grows once a frame, and the end at once", async () => {
    const world = new VirtualWorld();
    const { store, texts } = await storeOf(world, "frame");
    const sending = store.send({ input: "Hi" });
    const script = (await played(world)).delta("a");
    const shown = store.getSnapshot();
    for (const text of ["b", "c", "d"]) script.delta(text);
    expect(store.getSnapshot()).toBe(shown);
    script.completed();
    await sending;
    expect(texts).toEqual(["", "a", "abcd"]);
  });

  it("checks an answer by its schema, and is typed by it", async () => {
    const world = new VirtualWorld();
    const { store } = await storeOf(world);
    const ask = () => store.send({ input: "Hi", text: { format: z.object({ n: z.int() }) } });
    const sending = ask();
    (await played(world)).delta('{"n":4}').completed();
    expect((await sending)?.parsed?.n).toBe(4);
    const wrong = ask();
    (await played(world, "resp_2")).delta('{"n":"x"}').completed();
    expect(await wrong).toBeUndefined();
    expect(store.getSnapshot()).toMatchObject({
      ...{ status: "failed", error: { code: "invalid_output" }, text: '{"n":"x"}' },
    });
  });

  it("never rejects: a refusal, a failure and a wrong tool are states", async () => {
    const world = new VirtualWorld();
    const { store } = await storeOf(world);
    const refused = store.send({ input: "Hi" });
    await turn();
    world.socket.error(world.socket.sent.at(-1)!, 400, "invalid_request");
    expect(await refused).toBeUndefined();
    expect(store.getSnapshot()).toMatchObject({
      ...{ status: "failed", running: false, error: { code: "invalid_request", status: 400 } },
    });

    const failing = store.send({ input: "Hi" });
    expect(store.getSnapshot().error).toBeUndefined();
    (await played(world)).delta("a").failed("worker_crashed");
    expect(await failing).toBeUndefined();
    expect(store.getSnapshot()).toMatchObject({
      status: "failed",
      error: { code: "worker_crashed" },
    });

    expect(await store.send({ input: "Hi", tools: [{ name: "" }] })).toBeUndefined();
    expect(store.getSnapshot()).toMatchObject({ error: { code: "invalid_definition" } });
  });

  it("never rejects either where the page's own function fails", async () => {
    const store = createResponseStore(() => Promise.reject(new Error("no ticket today")));
    expect(await store.send({ input: "Hi" })).toBeUndefined();
    expect(store.getSnapshot()).toMatchObject({
      ...{ status: "failed", error: { code: "unexpected_error", message: "no ticket today" } },
    });
  });

  it("cancels the one before, whose words are not heard any more", async () => {
    const world = new VirtualWorld();
    const { store } = await storeOf(world);
    const first = store.send({ input: "one" });
    const old = (await played(world)).delta("old");
    const second = store.send({ input: "two" });
    expect(store.getSnapshot()).toMatchObject({ text: "", status: "waiting", items: [] });
    const script = await played(world, "resp_2");
    old.delta("er").cancelled();
    script.delta("new").completed();
    expect([await first, (await second)?.text]).toEqual([undefined, "new"]);
    expect(store.getSnapshot().text).toBe("new");
    expect(world.socket.sent).toContainEqual(
      expect.objectContaining({ type: "response.cancel", response_id: "resp_1" }),
    );
  });

  it("is cancelled by a signal, before and after it was given", async () => {
    const world = new VirtualWorld();
    const { store } = await storeOf(world);
    const abort = new AbortController();
    const sending = store.send({ input: "Hi" }, { signal: abort.signal });
    (await played(world)).delta("a");
    abort.abort();
    expect(await sending).toBeUndefined();
    expect(store.getSnapshot()).toMatchObject({ status: "cancelled", error: undefined, text: "a" });
    const sent = world.socket.sent.length;
    expect(await store.send({ input: "Hi" }, { signal: abort.signal })).toBeUndefined();
    expect(store.getSnapshot()).toMatchObject({ status: "cancelled", running: false });
    expect(world.socket.sent).toHaveLength(sent);
  });
});

describe("stop", () => {
  it("keeps text and usage, which the server tells", async () => {
    const world = new VirtualWorld();
    const { store, statuses } = await storeOf(world);
    const sending = store.send({ input: "Hi" });
    const script = (await played(world)).delta("a");
    store.stop();
    expect(store.getSnapshot()).toMatchObject({ status: "stopping", running: true });
    script.delta("b").cancelled();
    expect(await sending).toMatchObject({ text: "ab", response: { status: "cancelled" } });
    expect(store.getSnapshot()).toMatchObject({ status: "cancelled", usage: { input_tokens: 3 } });
    expect(statuses).toEqual(["waiting", "streaming", "stopping", "cancelled"]);
  });

  it("waits for no server that isn't there", async () => {
    const world = new VirtualWorld();
    const { store } = await storeOf(world);
    const sending = store.send({ input: "Hi" });
    (await played(world)).delta("a");
    world.socket.close();
    expect(store.getSnapshot().status).toBe("reconnecting");
    store.stop();
    expect(store.getSnapshot()).toMatchObject({ status: "cancelled", text: "a" });
    expect(await sending).toBeUndefined();

    const world2 = new VirtualWorld();
    const { store: other } = await storeOf(world2);
    const sending2 = other.send({ input: "Hi" });
    await played(world2);
    other.stop();
    world2.socket.close();
    expect(other.getSnapshot().status).toBe("cancelled");
    expect(await sending2).toBeUndefined();
  });

  it("before there is a connection gives that up; with nothing asked for it does nothing", async () => {
    const store = createResponseStore(() => new Promise(() => {}));
    store.stop();
    expect(store.getSnapshot().status).toBe("idle");
    void store.send({ input: "Hi" });
    expect(store.getSnapshot().status).toBe("connecting");
    store.stop();
    expect(store.getSnapshot()).toMatchObject({ status: "cancelled", running: false });
  });
});

describe("a lost connection", () => {
  it("is told, and the response goes on where it was", async () => {
    const world = new VirtualWorld();
    const { store, statuses } = await storeOf(world);
    const sending = store.send({ input: "Hi" });
    const { streamId } = (await played(world)).delta("one ");
    const socket = await world.reconnect(1012);
    expect(socket.sent.at(-1)).toMatchObject({ response_id: "resp_1", starting_after: 1 });
    new Script(socket, "resp_1", streamId, 2).delta("two").completed();
    expect((await sending)?.text).toBe("two");
    expect(statuses).toEqual(["waiting", "streaming", "reconnecting", "streaming", "completed"]);
  });

  it("that doesn't come back is an error, and resume goes on from there", async () => {
    const world = new VirtualWorld();
    const { store, client } = await storeOf(world);
    const sending = store.send({ input: "Hi" });
    (await played(world)).delta("one ");
    world.socket.close(1008, "no");
    expect(await sending).toBeUndefined();
    expect(client.connected).toBe(false);
    expect(store.getSnapshot()).toMatchObject({
      ...{ status: "failed", error: { code: "connection_lost" }, text: "one ", cursor: 1 },
    });
  });
});

describe("resume", () => {
  it("without an id goes on where the state is", async () => {
    const world = new VirtualWorld();
    const { store } = await storeOf(world);
    void store.send({ input: "Hi" });
    (await played(world)).delta("one ");
    world.socket.close();
    store.stop();
    await world.reopen();
    const resuming = store.resume();
    expect(store.getSnapshot()).toMatchObject({ text: "one ", running: true });
    await turn();
    const asked = world.socket.sent.at(-1)!;
    expect(asked).toMatchObject({ response_id: "resp_1", starting_after: 1 });
    new Script(world.socket, "resp_1", asked.stream_id, 2).delta("two").completed();
    await resuming;
    expect(store.getSnapshot()).toMatchObject({ status: "completed", cursor: 3 });
  });

  it("with an id reads it from its start", async () => {
    const world = new VirtualWorld();
    const { store } = await storeOf(world);
    const resuming = store.resume("resp_9");
    expect(store.getSnapshot()).toMatchObject({
      responseId: "resp_9",
      text: "",
      status: "waiting",
    });
    const script = await played(world, "resp_9");
    expect(world.socket.sent.at(-1)).toMatchObject({ response_id: "resp_9", starting_after: -1 });
    script.delta("whole").completed();
    expect((await resuming)?.text).toBe("whole");
  });

  it("of one that has ended shows its end again", async () => {
    const world = new VirtualWorld();
    const { store } = await storeOf(world);
    const sending = store.send({ input: "Hi" });
    (await played(world)).delta("all").completed();
    await sending;
    const before = store.getSnapshot();
    const resuming = store.resume();
    await turn();
    const { stream_id, starting_after } = world.socket.sent.at(-1)!;
    expect(starting_after).toBe(2);
    world.socket.send({
      ...{ type: "response.completed", stream_id, sequence_number: 2 },
      response: before.response,
    });
    await resuming;
    expect(store.getSnapshot()).toEqual(before);
  });

  it("of nothing says so", async () => {
    const { store } = await storeOf(new VirtualWorld());
    expect(await store.resume()).toBeUndefined();
    expect(store.getSnapshot()).toMatchObject({ error: { param: "responseId" } });
  });
});

describe("reset and dispose", () => {
  it("cancel what runs; reset forgets it too", async () => {
    const world = new VirtualWorld();
    const { store, client } = await storeOf(world);
    const first = store.send({ input: "Hi" });
    (await played(world)).delta("a");
    store.reset();
    expect(store.getSnapshot()).toBe(store.getServerSnapshot());
    const second = store.send({ input: "Hi" });
    (await played(world, "resp_2")).delta("b");
    store.dispose();
    expect(store.getSnapshot()).toMatchObject({ status: "cancelled", text: "b" });
    expect([await first, await second]).toEqual([undefined, undefined]);
    const cancels = world.socket.sent.filter(({ type }) => type === "response.cancel");
    expect(cancels.map(({ response_id }) => response_id)).toEqual(["resp_1", "resp_2"]);
    // It is not the store's own.
    expect(client.connected).toBe(true);
  });
});
