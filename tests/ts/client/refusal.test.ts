/** What refusals and cancellations mean to streams that were put on another connection. */
import { describe, expect, it } from "vitest";
import { Script } from "./support/fake-server.js";
import { textOf } from "./support/session.js";
import { VirtualWorld } from "./support/virtual.js";

const resumeType = "mlx_serving:response.resume";

describe("a resume that is refused", () => {
  it("with 404 makes the response anew, as long as its reader has seen nothing", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const stream = client.respond({ input: "Hi" }, { lane: "a", deadlineMs: 1000 });
    const final = stream.final();
    const [before] = world.socket.sent;
    new Script(world.socket, "resp_1", "a").created().delta("lost");
    const socket = await world.reconnect();
    socket.error(socket.sent[0]!, 404, "response_not_found");
    expect(socket.sent[1]).toEqual({ ...before, "mlx_serving:deadline_ms": 950 });
    new Script(socket, "resp_2", "a").created().delta("found").completed();
    expect((await final).response.id).toBe("resp_2");
    expect(stream.responseId).toBe("resp_2");
    expect(await textOf(stream)).toBe("found");
  });

  it("with 404 loses the response when some of it was read", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const stream = client.respond({ input: "Hi" }, { lane: "a" });
    const iterator = stream[Symbol.asyncIterator]();
    new Script(world.socket, "resp_1", "a").created().delta("a");
    await iterator.next();
    const socket = await world.reconnect();
    socket.error(socket.sent[0]!, 404, "response_not_found");
    expect((await iterator.next()).value).toMatchObject({ delta: "a" });
    await expect(iterator.next()).rejects.toMatchObject({
      name: "ResponseLostError",
      code: "response_lost",
      status: 404,
      responseId: "resp_1",
      cause: { name: "RequestError", code: "response_not_found" },
    });
    expect(socket.sent).toHaveLength(1);
    expect(client.connected).toBe(true);
  });

  it("with 404 loses what a listener was told of, and what was only resumed", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const listened = client.respond({ input: "Hi" }, { lane: "a" });
    listened.listen(() => {});
    new Script(world.socket, "resp_1", "a").created();
    const resumed = client.resume("resp_2", { lane: "b" });
    const socket = await world.reconnect();
    for (const message of [...socket.sent]) socket.error(message, 404, "response_not_found");
    await expect(listened.final()).rejects.toMatchObject({ code: "response_lost" });
    await expect(resumed.final()).rejects.toMatchObject({ code: "response_lost" });
  });

  it("with invalid_cursor loses the response", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const stream = client.respond({ input: "Hi" }, { lane: "a" });
    new Script(world.socket, "resp_1", "a").created();
    const socket = await world.reconnect();
    socket.error(socket.sent[0]!, 400, "invalid_cursor");
    await expect(stream.final()).rejects.toMatchObject({ code: "response_lost", status: 400 });
  });

  it("that never was another's is an ordinary refusal", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const open = client.resume("resp_1");
    world.socket.error(world.socket.sent[0]!, 404, "response_not_found");
    await expect(open.final()).rejects.toMatchObject({ name: "RequestError", status: 404 });
    world.socket.close();
    const waited = client.resume("resp_2");
    const socket = await world.reopen();
    socket.error(socket.sent[0]!, 404, "response_not_found");
    await expect(waited.final()).rejects.toMatchObject({ name: "RequestError", status: 404 });
  });

  it.each(["server_draining", "no_worker", "storage_unavailable"])(
    "with 503 %s is tried again, with growing pauses",
    async (code) => {
      const world = new VirtualWorld();
      const client = await world.connect();
      const stream = client.respond({ input: "Hi" }, { lane: "a" });
      new Script(world.socket, "resp_1", "a").created();
      const socket = await world.reconnect();
      for (const pauseMs of [50, 100, 200]) {
        const { length } = socket.sent;
        socket.error(socket.sent.at(-1)!, 503, code);
        await world.time.pass(pauseMs - 1);
        expect(socket.sent).toHaveLength(length);
        await world.time.pass(1);
        expect(socket.sent).toHaveLength(length + 1);
      }
      new Script(socket, "resp_1", "a", 1).completed();
      await stream.final();
      expect(world.time.pending).toBe(0);
    },
  );

  it("with 503 until the time is over says so", async () => {
    const world = new VirtualWorld();
    const client = await world.connect({ reconnect: { timeoutMs: 3000 } });
    const resumed = client.respond({ input: "1" }, { lane: "a" });
    const created = client.respond({ input: "2" }, { lane: "b" });
    new Script(world.socket, "resp_1", "a").created();
    const socket = await world.reconnect();
    let answered = 0;
    while (!resumed.ended || !created.ended) {
      for (; answered < socket.sent.length; answered += 1)
        socket.error(socket.sent[answered]!, 503, "no_worker");
      await world.time.pass(10);
      expect(world.time.now).toBeLessThan(3100);
    }
    for (const stream of [resumed, created])
      await expect(stream.final()).rejects.toMatchObject({
        name: "RequestError",
        code: "no_worker",
        status: 503,
      });
    expect(world.time.pending).toBe(0);
    expect(client.connected).toBe(true);
  });

  it("with 429 is tried again, unlike a new request", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const promised = client.respond({ input: "1" }, { lane: "a" });
    const asked = client.respond({ input: "2" }, { lane: "b" });
    new Script(world.socket, "resp_1", "a").created();
    const socket = await world.reconnect();
    for (const message of [...socket.sent]) socket.error(message, 429, "lane_full");
    await expect(asked.final()).rejects.toMatchObject({ name: "RequestError", status: 429 });
    await world.time.pass(50);
    expect(socket.sent.at(-1)).toMatchObject({ type: resumeType });
    expect(promised.ended).toBe(false);
  });
});

describe("a stream that the server interrupts", () => {
  it("is followed again, and what waits in its lane is asked for after it", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const { socket } = world;
    const first = client.respond({ input: "1" }, { lane: "a" });
    const second = client.respond({ input: "2" }, { lane: "a" });
    const script = new Script(socket, "resp_1", "a").created().delta("one ");
    const [ofFirst, ofSecond] = socket.sent;
    socket.error(ofFirst!, 503, "storage_unavailable");
    socket.error(ofSecond!, 503, "storage_unavailable");
    await world.time.pass(200);
    expect(socket.sent).toHaveLength(3);
    expect(socket.sent[2]).toMatchObject({ type: resumeType, response_id: "resp_1" });
    script.delta("two").completed();
    expect((await first.final()).text).toBe("one two");
    expect(socket.sent[3]).toMatchObject({ type: "response.create", input: "2" });
    new Script(socket, "resp_2", "a").created().delta("three").completed();
    expect((await second.final()).text).toBe("three");
  });

  it("for longer than a minute fails with what the server says", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const { socket } = world;
    const stream = client.respond({ input: "1" }, { lane: "a" });
    new Script(socket, "resp_1", "a").created();
    for (let answered = 0; !stream.ended; await world.time.pass(100)) {
      for (; answered < socket.sent.length; answered += 1)
        socket.error(socket.sent[answered]!, 503, "storage_unavailable");
      expect(world.time.now).toBeLessThan(70_000);
    }
    await expect(stream.final()).rejects.toMatchObject({ code: "storage_unavailable" });
  });
});

describe("a request that is refused", () => {
  it("with 503 on a connection that was never lost is told at once", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const stream = client.respond({ input: "Hi" });
    world.socket.error(world.socket.sent[0]!, 503, "server_draining");
    await expect(stream.final()).rejects.toMatchObject({ status: 503, code: "server_draining" });
    expect(world.time.pending).toBe(0);
  });

  it("after a reconnect fails its stream and no other", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const refused = client.respond({ input: "1" }, { lane: "a" });
    const next = client.respond({ input: "2" }, { lane: "a" });
    const socket = await world.reconnect();
    socket.error(socket.sent[0]!, 400, "invalid_value");
    await expect(refused.final()).rejects.toMatchObject({ name: "RequestError", status: 400 });
    new Script(socket, "resp_2", "a").created().completed();
    expect((await next.final()).response.id).toBe("resp_2");
    expect(world.names()).toEqual(["reconnecting", "reconnected"]);
  });

  it("before a loss is not asked for again", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const stream = client.respond({ input: "1" });
    world.socket.error(world.socket.sent[0]!, 400, "invalid_value");
    await expect(stream.final()).rejects.toMatchObject({ status: 400 });
    expect((await world.reconnect()).sent).toEqual([]);
  });
});

describe("cancelling without a connection", () => {
  it("is delivered after the resume", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const stream = client.respond({ input: "Hi" }, { lane: "a" });
    new Script(world.socket, "resp_1", "a").created();
    world.socket.close();
    stream.cancel();
    const socket = await world.reopen();
    expect(socket.sent).toMatchObject([
      { type: resumeType, response_id: "resp_1" },
      { type: "response.cancel", response_id: "resp_1" },
    ]);
    new Script(socket, "resp_1", "a", 1).cancelled();
    await stream.final();
  });

  it("is ordered again when it may not have arrived", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const stream = client.respond({ input: "Hi" }, { lane: "a" });
    new Script(world.socket, "resp_1", "a").created();
    client.cancel("resp_1");
    expect(world.socket.types()).toEqual(["response.create", "response.cancel"]);
    const socket = await world.reconnect();
    expect(socket.types()).toEqual([resumeType, "response.cancel"]);
    // The server has forgotten it: the stream says so, the cancellation need not.
    for (const message of [...socket.sent]) socket.error(message, 404, "response_not_found");
    await expect(stream.final()).rejects.toMatchObject({ code: "response_lost" });
    expect(world.names()).not.toContain("error");
  });

  it("reaches responses that no stream is of", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    world.socket.close();
    client.cancel("resp_9");
    const socket = await world.reopen();
    expect(socket.sent).toMatchObject([{ type: "response.cancel", response_id: "resp_9" }]);
    expect((await world.reconnect()).sent).toEqual([]);
  });

  it("cancels what was left or aborted, once its id is known", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const controller = new AbortController();
    const stream = client.respond({ input: "Hi" }, { lane: "a", signal: controller.signal });
    world.socket.close();
    controller.abort();
    await expect(stream.final()).rejects.toMatchObject({ code: "aborted" });
    const socket = await world.reopen();
    expect(socket.types()).toEqual(["response.create"]);
    new Script(socket, "resp_1", "a").created();
    expect(socket.sent[1]).toMatchObject({ type: "response.cancel", response_id: "resp_1" });
  });

  it("sends nothing of what was never sent", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    world.socket.close();
    const aborted = client.respond({ input: "1" }, { lane: "a" });
    const next = client.respond({ input: "2" }, { lane: "a" });
    await aborted[Symbol.asyncDispose]();
    const socket = await world.reopen();
    expect(socket.sent).toMatchObject([{ type: "response.create", input: "2" }]);
    expect(next.ended).toBe(false);
  });
});
