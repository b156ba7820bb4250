/** When a lost connection is tried again, for how long, and when it isn't. */
import { describe, expect, it } from "vitest";
import { backoffMs } from "../../../src-ts/client/backoff.js";
import { connectWith } from "../../../src-ts/client/client.js";
import { ConnectError, connect } from "../../../src-ts/client/index.js";
import { openSocket } from "../../../src-ts/client/websocket-node.js";
import { Script, startFakeServer } from "./support/fake-server.js";
import { textOf } from "./support/session.js";
import { turn, VirtualWorld } from "./support/virtual.js";

const almostOne = 1 - 2 ** -32;

describe("backoff", () => {
  it("is anything up to a bound that doubles and then stays", () => {
    const longest = [1, 2, 3, 6, 7, 50, 2000].map((attempt) => backoffMs(attempt, () => 1));
    expect(longest).toEqual([100, 200, 400, 3200, 5000, 5000, 5000]);
    expect(backoffMs(7, () => 0)).toBe(0);
    expect(backoffMs(7, () => 0.5)).toBe(2500);
  });
});

describe("a lost connection", () => {
  it.each([1000, 1001, 1006, 1011, 1012, 1013])("is opened again after %i", async (closeCode) => {
    const world = new VirtualWorld();
    const client = await world.connect();
    world.socket.close(closeCode, "why");
    expect(client.connected).toBe(false);
    expect(world.told).toMatchObject([
      {
        name: "reconnecting",
        info: { attempt: 1, delayMs: 50, cause: { code: "connection_lost", closeCode } },
      },
    ]);
    await world.time.pass(49);
    expect(world.sockets).toHaveLength(1);
    await world.time.pass(1);
    expect(world.sockets).toHaveLength(2);
    await world.time.pass(7);
    world.socket.open();
    expect(client.connected).toBe(true);
    expect(world.told[1]).toEqual({ name: "reconnected", info: { attempts: 1, downMs: 57 } });
  });

  it.each([1007, 1008, 1009])("stays lost after %i", async (closeCode) => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const final = expect(client.respond({ input: "Hi" }).final()).rejects.toMatchObject({
      name: "ConnectionLostError",
      closeCode,
    });
    world.socket.close(closeCode, "why");
    await final;
    expect(world.told).toEqual([{ name: "close", info: { closeCode, reason: "why" } }]);
    expect(client.connected).toBe(false);
    expect(world.time.pending).toBe(0);
  });

  it("may be declared lost, as after a sleep: another socket is opened, and the old one says nothing more", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const reading = textOf(client.respond({ input: "Hi" }, { lane: "a" }));
    const dead = world.socket;
    new Script(dead, "resp_1", "a").created().delta("one ");
    client.reconnect();
    // There is none now: once is enough.
    client.reconnect();
    expect(client.connected).toBe(false);
    await world.time.pass(50);
    world.socket.open();
    expect(world.sockets).toHaveLength(2);
    expect(world.names()).toEqual(["reconnecting", "reconnected"]);
    expect(world.socket.sent).toMatchObject([{ response_id: "resp_1", starting_after: 1 }]);
    new Script(dead, "resp_1", "a", 2).delta("stale ");
    dead.close(1006);
    new Script(world.socket, "resp_1", "a", 2).delta("two").completed();
    expect(await reading).toBe("one two");
  });

  it("is not declared lost where no other would follow", async () => {
    const world = new VirtualWorld();
    const client = await world.connect({ reconnect: false });
    client.reconnect();
    expect(client.connected).toBe(true);
    expect(world.names()).toEqual([]);
  });

  it("stays lost if that is what the options say", async () => {
    const world = new VirtualWorld();
    await world.connect({ reconnect: false });
    world.socket.close(1012);
    expect(world.names()).toEqual(["close"]);
    expect(world.time.pending).toBe(0);
  });

  it("is tried with growing pauses, and given up in time", async () => {
    const world = new VirtualWorld();
    world.chance = almostOne;
    const client = await world.connect({ reconnect: { timeoutMs: 20_000 } });
    const final = expect(client.respond({ input: "Hi" }).final()).rejects.toMatchObject({
      code: "connection_lost",
      closeCode: 1012,
      message: expect.stringMatching(/attempts: 9/),
      cause: { code: "connection_refused" },
    });
    world.socket.close(1012, "restart");
    for (let tried = 1; world.names().at(-1) === "reconnecting"; tried = world.sockets.length) {
      await world.time.pass(10);
      if (world.sockets.length > tried) world.socket.close();
    }
    await final;
    const attempts = world.told.filter(({ name }) => name === "reconnecting");
    const delays = attempts.map(({ info }) => Math.ceil((info as { delayMs: number }).delayMs));
    expect(delays.slice(0, 8)).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    expect(world.told.at(-1)).toEqual({
      name: "close",
      info: { closeCode: 1012, reason: "restart" },
    });
    expect(world.time.now).toBeGreaterThanOrEqual(20_000);
    expect(world.time.now).toBeLessThan(20_050);
    expect(world.time.pending).toBe(0);
    await expect(client.respond({ input: "Hi" }).final()).rejects.toMatchObject({
      code: "connection_lost",
    });
  });

  it("is given up in time while an attempt gets no answer", async () => {
    const world = new VirtualWorld();
    await world.connect({ reconnect: { timeoutMs: 15_000 } });
    world.socket.close();
    await world.time.pass(14_999);
    expect(world.names().at(-1)).toBe("reconnecting");
    await world.time.pass(1);
    expect(world.names().at(-1)).toBe("close");
    expect(world.sockets.slice(1).every(({ isTerminated }) => isTerminated)).toBe(true);
    expect(world.time.pending).toBe(0);
  });

  it("is tried for ever if one wants", async () => {
    const world = new VirtualWorld();
    await world.connect({ reconnect: { timeoutMs: Number.POSITIVE_INFINITY } });
    world.socket.close();
    await world.time.pass(3_600_000);
    expect(world.names().at(-1)).toBe("reconnecting");
    expect(world.sockets.length).toBeGreaterThan(100);
  });

  it("is no concern of the signal that was for the first connection", async () => {
    const world = new VirtualWorld();
    const controller = new AbortController();
    const client = await world.connect({ signal: controller.signal });
    controller.abort();
    await world.reconnect();
    expect(client.connected).toBe(true);
  });

  it("is the same outage still, while new ones bring nothing and don't hold", async () => {
    const world = new VirtualWorld();
    await world.connect({ reconnect: { timeoutMs: 30_000 } });
    world.socket.close(1011);
    while (!world.names().includes("close")) {
      const before = world.sockets.length;
      await world.time.pass(50);
      if (world.sockets.length > before) world.socket.open().close(1011);
      expect(world.time.now).toBeLessThan(31_000);
    }
    // Each at its pause, and not as fast as sockets can be opened.
    expect(world.sockets.length).toBeLessThan(25);
  });

  it("is another outage, once one has held or brought something new", async () => {
    const world = new VirtualWorld();
    const client = await world.connect({ reconnect: { timeoutMs: 10_000 } });
    client.respond({ input: "Hi" }, { lane: "a" });
    for (let number = 0; number < 20; number += 1) {
      const socket = await world.reconnect();
      await world.time.pass(1000);
      const response = { id: "resp_1" };
      socket.send({
        type: "response.in_progress",
        sequence_number: number,
        stream_id: "a",
        response,
      });
    }
    for (let i = 0; i < 3; i += 1) {
      await world.reconnect();
      await world.time.pass(5000);
    }
    const last = world.told.filter(({ name }) => name === "reconnecting").at(-1);
    expect(last?.info).toMatchObject({ attempt: 1 });
    expect(client.connected).toBe(true);
  });
});

describe("an upgrade that is refused", () => {
  it.each([400, 401, 403, 404])("with %i is final", async (status) => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const final = expect(client.respond({ input: "Hi" }).final()).rejects.toMatchObject({
      code: "connection_lost",
      closeCode: 1006,
      cause: { name: "ConnectError", status, code: `refused_${status}` },
    });
    world.socket.close();
    await world.time.pass(50);
    world.socket.refuse(status);
    await final;
    expect(world.names()).toEqual(["reconnecting", "close"]);
    expect(world.time.pending).toBe(0);
  });

  it.each([408, 429, 500, 502, 503])("with %i is tried again", async (status) => {
    const world = new VirtualWorld();
    const client = await world.connect();
    world.socket.close();
    await world.time.pass(50);
    world.socket.refuse(status);
    expect(world.told.at(-1)).toMatchObject({
      name: "reconnecting",
      info: { attempt: 2, delayMs: 100, cause: { status } },
    });
    await world.reopen();
    expect(client.connected).toBe(true);
  });

  it("is tried when the server says, and a little later", async () => {
    const world = new VirtualWorld();
    await world.connect();
    world.socket.close();
    await world.time.pass(50);
    world.socket.refuse(503, 5);
    expect(world.told.at(-1)).toMatchObject({ info: { attempt: 2, delayMs: 5100 } });
    await world.time.pass(5099);
    expect(world.sockets).toHaveLength(2);
    await world.time.pass(1);
    expect(world.sockets).toHaveLength(3);
  });

  it("is told with what a real server asks for", async () => {
    const server = await startFakeServer();
    server.refuse(503, "{}", { "Retry-After": "7" });
    const error = await connect(server.url).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ConnectError);
    expect(error).toMatchObject({ status: 503, retryAfterMs: 7000 });
    await server.close();
  });
});

describe("tickets", () => {
  it("are got anew for every connection", async () => {
    const world = new VirtualWorld();
    let count = 0;
    await world.connect({ ticket: async () => `t${++count}` });
    await world.reconnect();
    await world.reconnect();
    expect(world.sockets.map(({ url }) => new URL(url).searchParams.get("ticket"))).toEqual([
      "t1",
      "t2",
      "t3",
    ]);
  });

  it("that can't be got are tried again", async () => {
    const world = new VirtualWorld();
    let isThere = true;
    const ticket = async () => {
      if (isThere) return "t";
      throw new Error("no network");
    };
    const client = await world.connect({ ticket });
    isThere = false;
    world.socket.close();
    await world.time.pass(200);
    expect(world.told.at(-1)).toMatchObject({ name: "reconnecting" });
    expect(world.told.at(-1)).toMatchObject({
      info: { cause: { code: "no_ticket", cause: { message: "no network" } } },
    });
    isThere = true;
    await world.reopen();
    expect(client.connected).toBe(true);
  });

  it("that can't be got for the first connection reject it", async () => {
    const { ports } = new VirtualWorld();
    const ticket = () => Promise.reject(new Error("no network"));
    await expect(connectWith(ports, "ws://server", { ticket })).rejects.toMatchObject({
      name: "ConnectError",
      code: "no_ticket",
    });
  });

  it("that take for ever are not waited for", async () => {
    const world = new VirtualWorld();
    let isSlow = false;
    const ticket = () => (isSlow ? new Promise<string>(() => {}) : Promise.resolve("t"));
    await world.connect({ ticket, connectTimeoutMs: 1000 });
    isSlow = true;
    world.socket.close();
    await world.time.pass(1050);
    expect(world.told.at(-1)).toMatchObject({ info: { cause: { code: "connect_timeout" } } });
    expect(world.sockets).toHaveLength(1);
  });
});

describe("close() without a connection", () => {
  it.each([
    ["before an attempt", 0],
    ["during one", 60],
  ])("ends at once %s", async (_when, ms) => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const stream = client.respond({ input: "Hi" });
    const final = expect(stream.final()).rejects.toMatchObject({ code: "client_closed" });
    world.socket.close(1012, "restart");
    await world.time.pass(ms);
    await client.close();
    await final;
    expect(world.time.pending).toBe(0);
    expect(world.told.at(-1)).toEqual({
      name: "close",
      info: { closeCode: 1012, reason: "restart" },
    });
    expect(world.sockets.slice(1).every(({ isTerminated }) => isTerminated)).toBe(true);
    await expect(client.respond({ input: "Hi" }).final()).rejects.toMatchObject({
      code: "client_closed",
    });
  });

  it("may be called by who is told of the loss", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    client.on("reconnecting", () => void client.close());
    world.socket.close();
    await turn();
    expect(world.names()).toEqual(["reconnecting", "close"]);
    expect(world.time.pending).toBe(0);
  });

  it("is not undone by a connection that is lost while it waits", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    client.respond({ input: "Hi" });
    const closed = client.close();
    world.socket.close();
    await closed;
    expect(world.names()).toEqual(["close"]);
    expect(world.time.pending).toBe(0);
  });
});

describe("a connection that has died without a word", () => {
  it("is given up when pings stay out", async () => {
    const world = new VirtualWorld();
    const client = await world.connect();
    const { socket } = world;
    for (let i = 0; i < 10; i += 1) {
      socket.handlers.onPing();
      await world.time.pass(20_000);
    }
    await world.time.pass(20_000);
    socket.send({ type: "mlx_serving:unknown" });
    await world.time.pass(49_999);
    expect(client.connected).toBe(true);
    await world.time.pass(1);
    expect(socket.isTerminated).toBe(true);
    expect(world.told).toMatchObject([
      {
        name: "reconnecting",
        info: { cause: { closeCode: 1006, cause: { message: expect.stringMatching(/silent/) } } },
      },
    ]);
    await world.reopen();
    await world.time.pass(3_600_000);
    expect(client.connected).toBe(true);
  });

  it.each([
    ["that never pinged", {}, 0],
    ["that pings when it likes", { notices: false }, 1],
  ])("is not suspected of a server %s", async (_what, options, pings) => {
    const world = new VirtualWorld();
    const client = await world.connect(options);
    for (let i = 0; i < pings; i += 1) world.socket.handlers.onPing();
    await world.time.pass(3_600_000);
    expect(client.connected).toBe(true);
    expect(world.time.pending).toBe(0);
  });

  it("is known by real pings", async () => {
    const server = await startFakeServer();
    const seen: string[] = [];
    const opened = server.socket();
    const handlers = {
      onOpen: () => {},
      onText: (text: string) => seen.push(text),
      onBinary: () => {},
      onRefused: () => {},
      onError: () => {},
      onClose: () => {},
    };
    await new Promise<void>((resolve) => {
      const options = { headers: {}, frameBytesMax: 1000 };
      openSocket(server.url, options, { ...handlers, onPing: resolve });
      void opened.then(({ raw }) => raw.ping());
    });
    expect(seen).toEqual([]);
    await server.close();
  });
});

describe("a frame that is too big for this client", () => {
  it("is no reason to ask for it again", async () => {
    const server = await startFakeServer();
    const options = { frameBytesMax: 1000 };
    const [client, socket] = await Promise.all([connect(server.url, options), server.socket()]);
    const closed = new Promise((resolve) => client.on("close", resolve));
    socket.send({ type: "x".repeat(2000) });
    expect(await closed).toMatchObject({ closeCode: 1009 });
    await server.close();
  });
});
