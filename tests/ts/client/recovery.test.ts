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
