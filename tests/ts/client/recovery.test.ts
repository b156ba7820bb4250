/** What becomes of streams when the connection goes and comes back. */
import { describe, expect, it } from "vitest";
import type { ResponseStream } from "../../../src-ts/client/index.js";
import { Script } from "./support/fake-server.js";
import { textOf } from "./support/session.js";
import { turn, VirtualWorld } from "./support/virtual.js";

const key = "mlx_serving:idempotency_key";
const resumeType = "mlx_serving:response.resume";

/** Numbers of the events that a reader gets. */
function numbersOf(stream: ResponseStream): number[] {
  const numbers: number[] = [];
  stream.listen(({ sequence_number }) => numbers.push(sequence_number));
  return numbers;
}

describe("a stream that has its id", () => {
  it("is resumed after its last number, and its reader notices nothing", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const stream = client.respond({ input: "Hi" }, { lane: "a" });
    const reading = textOf(stream);
    const final = stream.final();
    new Script(world.socket, "resp_1", "a").created().delta("one ").delta("two ");
    const socket = await world.reconnect(1012);
    expect(socket.sent).toMatchObject([
      { type: resumeType, response_id: "resp_1", starting_after: 2, stream_id: "a" },
    ]);
    new Script(socket, "resp_1", "a", 2).delta("two ").delta("three ").completed();
    expect(await reading).toBe("one two three ");
    expect((await final).response.status).toBe("completed");
    expect(stream.cursor).toBe(4);
  });

  it("goes on over any number of losses, each event once", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const stream = client.respond({ input: "Hi" }, { lane: "a" });
    const numbers = numbersOf(stream);
    new Script(world.socket, "resp_1", "a").created();
    for (let number = 1; number <= 20; number += 1) {
      const socket = await world.reconnect();
      expect(socket.sent[0]).toMatchObject({ starting_after: number - 1 });
      new Script(socket, "resp_1", "a", number).delta("x");
    }
    new Script(world.socket, "resp_1", "a", 21).completed();
    await stream.final();
    expect(numbers).toEqual(Array.from({ length: 22 }, (_, i) => i));
  });

  it("fails on a gap after a reconnect as it does before one", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const stream = client.respond({ input: "Hi" }, { lane: "a" });
    new Script(world.socket, "resp_1", "a").created();
    const socket = await world.reconnect();
    new Script(socket, "resp_1", "a", 3).delta("x");
    await expect(stream.final()).rejects.toMatchObject({ code: "sequence_gap", expected: 1 });
  });

  it("ends when only its terminal event is repeated", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const resumed = client.resume("resp_1", { lane: "a", startingAfter: 4 });
    const socket = await world.reconnect();
    expect(socket.sent).toMatchObject([{ type: resumeType, starting_after: 4 }]);
    new Script(socket, "resp_1", "a", 4).completed();
    expect((await resumed.final()).response.id).toBe("resp_1");
  });

  it("is not asked for again once it has ended", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const stream = client.respond({ input: "Hi" }, { lane: "a" });
    new Script(world.socket, "resp_1", "a").created().completed();
    await stream.final();
    expect((await world.reconnect()).sent).toEqual([]);
  });

  it("does not hear what an old socket still says", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const stream = client.respond({ input: "Hi" }, { lane: "a" });
    const numbers = numbersOf(stream);
    const old = new Script(world.socket, "resp_1", "a").created();
    await world.reconnect();
    old.delta("late");
    expect(numbers).toEqual([0]);
    expect(world.names()).not.toContain("error");
  });
});

describe("a stream without an id yet", () => {
  it("is created again with the same key, body and lane", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const stream = client.respond(
      { input: "Hi", temperature: 0 },
      { lane: "a", priority: "batch" },
    );
    const [before] = world.socket.sent;
    expect(before?.[key]).toMatch(/^auto_[0-9a-f]{32}$/);
    const socket = await world.reconnect();
    expect(socket.sent).toEqual([before]);
    new Script(socket, "resp_1", "a").created().delta("x").completed();
    expect(await textOf(stream)).toBe("x");
  });

  it("has a key of its own, or the caller's", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    client.respond({ input: "Hi" });
    world.chance = 0.25;
    client.respond({ input: "Hi" });
    client.respond({ input: "Hi" }, { idempotencyKey: "mine" });
    const keys = world.socket.sent.map((message) => message[key]);
    expect(new Set(keys).size).toBe(3);
    expect(keys[2]).toBe("mine");
    expect((await world.reconnect()).sent.map((message) => message[key])).toEqual(keys);
  });

  it("is not created twice where there is no key: it fails, the others go on", async () => {
    const world = new VirtualWorld();
    const client = await world.connect({ notices: false });
    const bare = client.respond({ input: "1" }, { lane: "a" });
    const keyed = client.respond({ input: "2" }, { lane: "b", idempotencyKey: "mine" });
    const known = client.respond({ input: "3" }, { lane: "c" });
    expect(world.socket.sent[0]).not.toHaveProperty(key);
    new Script(world.socket, "resp_3", "c").created();
    const socket = await world.reconnect();
    await expect(bare.final()).rejects.toMatchObject({ code: "connection_lost", closeCode: 1006 });
    expect(socket.types()).toEqual(["response.create", resumeType]);
    expect([keyed.ended, known.ended]).toEqual([false, false]);
  });

  it("keeps what is left of its deadline", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    client.respond({ input: "Hi" }, { deadlineMs: 10_000 });
    const deadlines = [world.socket.sent[0]?.["mlx_serving:deadline_ms"]];
    await world.time.pass(3000);
    deadlines.push((await world.reconnect()).sent[0]?.["mlx_serving:deadline_ms"]);
    await world.time.pass(60_000);
    deadlines.push((await world.reconnect()).sent[0]?.["mlx_serving:deadline_ms"]);
    expect(deadlines).toEqual([10_000, 6950, 1]);
  });

  it("waits when there is no connection, without being sent twice", async () => {
    const world = new VirtualWorld();
    const client = await world.connect({ notices: false });
    world.socket.close();
    const stream = client.respond({ input: "Hi" }, { lane: "a" });
    await turn();
    const socket = await world.reopen();
    expect(socket.types()).toEqual(["response.create"]);
    new Script(socket, "resp_1", "a").created().completed();
    expect((await stream.final()).response.id).toBe("resp_1");
  });

  it("fails with the connection when it doesn't come back", async () => {
    const world = new VirtualWorld();
    const client = await world.connect({ reconnect: { timeoutMs: 1000 } });
    world.socket.close();
    const stream = client.respond({ input: "Hi" });
    const final = expect(stream.final()).rejects.toMatchObject({ code: "connection_lost" });
    await world.time.pass(1000);
    await final;
  });
});

describe("lanes", () => {
  it("keep their order over a loss", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const streams = ["1", "2", "3"].map((input) => client.respond({ input }, { lane: "a" }));
    const other = client.respond({ input: "other" }, { lane: "b" });
    new Script(world.socket, "resp_1", "a").created();
    new Script(world.socket, "resp_o", "b").created();
    const socket = await world.reconnect();
    expect(socket.types()).toEqual([resumeType, resumeType]);
    // The first is taken up: the second may be asked for, which may yet be refused.
    const first = new Script(socket, "resp_1", "a");
    first.delta("one", 1);
    expect(socket.sent.slice(2)).toMatchObject([{ type: "response.create", input: "2" }]);
    first.completed();
    new Script(socket, "resp_2", "a").created().delta("two").completed();
    expect(socket.sent.slice(3)).toMatchObject([{ type: "response.create", input: "3" }]);
    new Script(socket, "resp_3", "a").created().delta("three").completed();
    expect(await Promise.all(streams.map(textOf))).toEqual(["one", "two", "three"]);
    new Script(socket, "resp_o", "b", 1).completed();
    await other.final();
  });

  it("let nobody overtake who is refused for a while", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const streams = ["1", "2"].map((input) => client.respond({ input }, { lane: "a" }));
    const socket = await world.reconnect();
    socket.error(socket.sent[0]!, 503, "no_worker");
    const third = client.respond({ input: "3" }, { lane: "a" });
    expect(socket.sent).toHaveLength(1);
    await world.time.pass(50);
    expect(socket.sent).toMatchObject([{ input: "1" }, { input: "1" }]);
    new Script(socket, "resp_1", "a").created().delta("one").completed();
    new Script(socket, "resp_2", "a").created().delta("two").completed();
    new Script(socket, "resp_3", "a").created().delta("three").completed();
    expect(await Promise.all([...streams, third].map(textOf))).toEqual(["one", "two", "three"]);
  });

  it("send at once again when all is settled", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    client.respond({ input: "1" }, { lane: "a" });
    const socket = await world.reconnect();
    new Script(socket, "resp_1", "a").created();
    client.respond({ input: "2" }, { lane: "a" });
    client.respond({ input: "3" }, { lane: "a" });
    expect(socket.sent.map(({ input }) => input)).toEqual(["1", "2", "3"]);
  });
});

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

describe("a slow reader", () => {
  it("whose socket was closed for it goes on", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const stream = client.respond({ input: "Hi" }, { lane: "a" });
    new Script(world.socket, "resp_1", "a").created().delta("a");
    const error = { type: "overloaded_error", code: "consumer_too_slow", message: "m" };
    world.socket.send({ type: "error", status: 503, error: { ...error, param: null } });
    const socket = await world.reconnect(1013);
    expect(world.told).toMatchObject([
      { name: "error" },
      { name: "reconnecting", info: { cause: { cause: { code: "consumer_too_slow" } } } },
      { name: "reconnected" },
    ]);
    new Script(socket, "resp_1", "a", 2).completed();
    await stream.final();
  });

  it("whose own buffer is full has failed, and nobody asks for the rest", async () => {
    const world = new VirtualWorld();
    const client = await world.connect({ bufferedEventsMax: 1 });
    const stream = client.respond({ input: "Hi" }, { lane: "a" });
    new Script(world.socket, "resp_1", "a").created().delta("a");
    expect(stream.ended).toBe(true);
    expect((await world.reconnect()).sent).toEqual([]);
    await expect(stream.final()).rejects.toMatchObject({ code: "consumer_too_slow" });
  });

  it("whose buffer is full still comes before who waits in its lane", async () => {
    const world = new VirtualWorld();
    const client = await world.connect({ bufferedEventsMax: 1 });
    client.respond({ input: "1" }, { lane: "a" });
    const next = client.respond({ input: "2" }, { lane: "a" });
    new Script(world.socket, "resp_1", "a").created().delta("a");
    const socket = await world.reconnect();
    expect(socket.types()).toEqual([resumeType]);
    new Script(socket, "resp_1", "a", 2).completed();
    expect(socket.sent[1]).toMatchObject({ type: "response.create", input: "2" });
    expect(next.ended).toBe(false);
  });
});
