import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type Client,
  type ConnectOptions,
  connect,
  type ResponseStream,
} from "../../../src-ts/client/index.js";
import {
  accept,
  type FakeServer,
  type FakeSocket,
  Script,
  startFakeServer,
} from "./support/fake-server.js";

let server: FakeServer;
let client: Client;
let socket: FakeSocket;

beforeEach(async () => {
  server = await startFakeServer();
});

afterEach(async () => {
  await server.close();
});

async function open(options: ConnectOptions = {}): Promise<void> {
  [client, socket] = await Promise.all([connect(server.url, options), server.socket()]);
}

async function textOf(stream: ResponseStream): Promise<string> {
  let text = "";
  for await (const event of stream) {
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  return text;
}

/** Resolves when the client has handled everything that was sent to it so far. */
async function settled(): Promise<void> {
  const pong = new Promise((resolve) => socket.raw.once("pong", resolve));
  socket.raw.ping();
  await pong;
}

describe("respond", () => {
  it("sends the body with its options, and gives events and the whole response", async () => {
    await open();
    const stream = client.respond(
      { input: "Hi", temperature: 0 },
      { lane: "a", deadlineMs: 500, priority: "batch", idempotencyKey: "k" },
    );
    const create = await socket.message("response.create");
    expect(create).toMatchObject({
      input: "Hi",
      temperature: 0,
      stream_id: "a",
      "mlx_serving:deadline_ms": 500,
      "mlx_serving:priority": "batch",
      "mlx_serving:idempotency_key": "k",
    });
    expect(stream.responseId).toBeUndefined();
    new Script(socket, "resp_1", "a").created().delta("Hel").delta("lo").completed();
    expect(await textOf(stream)).toBe("Hello");
    expect(stream.responseId).toBe("resp_1");
    expect(stream.cursor).toBe(3);
    const { text, usage, response } = await stream.final();
    expect(text).toBe("Hello");
    expect(usage).toMatchObject({ input_tokens: 3 });
    expect(response.status).toBe("completed");
  });

  it("leaves out the options that were not given", async () => {
    await open();
    client.respond({ input: "Hi" });
    const create = await socket.message("response.create");
    expect(Object.keys(create).sort()).toEqual(["event_id", "input", "stream_id", "type"]);
  });

  it("keeps many streams of one socket apart", async () => {
    await open();
    const streams = Array.from({ length: 16 }, (_, i) => client.respond({ input: `${i}` }));
    const scripts = await Promise.all(streams.map((_, i) => accept(socket, `resp_${i}`)));
    for (const script of scripts) script.created();
    for (let round = 0; round < 3; round += 1) {
      for (const [i, script] of scripts.entries()) script.delta(`${i}.${round} `);
    }
    for (const script of scripts.reverse()) script.completed();
    const texts = await Promise.all(streams.map(textOf));
    expect(texts).toEqual(streams.map((_, i) => `${i}.0 ${i}.1 ${i}.2 `));
  });

  it("gives the events of a lane to its responses one after another", async () => {
    await open();
    const streams = [
      client.respond({ input: "1" }, { lane: "a" }),
      client.respond({ input: "2" }, { lane: "a" }),
    ];
    new Script(socket, "resp_1", "a").created().delta("one").completed();
    new Script(socket, "resp_2", "a").created().delta("two").completed();
    expect(await Promise.all(streams.map(textOf))).toEqual(["one", "two"]);
    expect(streams.map(({ responseId }) => responseId)).toEqual(["resp_1", "resp_2"]);
  });

  it("rejects the stream that a refusal is about, and no other", async () => {
    await open();
    const refused = client.respond({ input: "" }, { lane: "a" });
    const next = client.respond({ input: "x" }, { lane: "a" });
    const { event_id } = await socket.message("response.create");
    const error = {
      type: "invalid_request_error",
      code: "bad",
      message: "No input",
      param: "input",
    };
    socket.send({ type: "error", status: 400, error, event_id, stream_id: "a" });
    await expect(refused.final()).rejects.toMatchObject({
      name: "RequestError",
      code: "bad",
      status: 400,
      param: "input",
      message: "No input",
    });
    new Script(socket, "resp_2", "a").created().delta("two").completed();
    expect((await next.final()).text).toBe("two");
  });

  it("iterates over a failed response, and rejects its final()", async () => {
    await open();
    const stream = client.respond({ input: "Hi" });
    (await accept(socket, "resp_1")).created().failed("deadline_exceeded");
    const types: string[] = [];
    for await (const { type } of stream) types.push(type);
    expect(types).toEqual(["response.created", "response.failed"]);
    await expect(stream.final()).rejects.toMatchObject({
      name: "ResponseFailedError",
      code: "deadline_exceeded",
      response: { id: "resp_1" },
    });
  });

  it("hands events to a listener, also those that came before it", async () => {
    await open();
    const stream = client.respond({ input: "Hi" });
    const script = (await accept(socket, "resp_1")).created();
    await settled();
    const types: string[] = [];
    stream.listen(({ type }) => types.push(type));
    expect(types).toEqual(["response.created"]);
    script.delta("x").completed();
    await stream.final();
    expect(types).toEqual(["response.created", "response.output_text.delta", "response.completed"]);
    expect(() => stream[Symbol.asyncIterator]()).toThrow(TypeError);
  });
});

describe("numbers", () => {
  it("drops duplicates", async () => {
    await open();
    const stream = client.respond({ input: "Hi" });
    (await accept(socket, "resp_1")).created().delta("a").delta("a", 1).delta("b").completed();
    expect(await textOf(stream)).toBe("ab");
  });

  it("fails on a gap, after what came before it, and does not cancel", async () => {
    await open();
    const stream = client.respond({ input: "Hi" });
    (await accept(socket, "resp_1")).created().delta("a").delta("c", 3).completed();
    const types: string[] = [];
    const reading = (async () => {
      for await (const { type } of stream) types.push(type);
    })();
    await expect(reading).rejects.toMatchObject({ code: "sequence_gap", expected: 2, received: 3 });
    expect(types).toEqual(["response.created", "response.output_text.delta"]);
    expect(stream.cursor).toBe(1);
    await settled();
    expect(socket.received.map(({ type }) => type)).toEqual(["response.create"]);
  });

  it("fails a reader that is too slow at its limit, and can go on from its cursor", async () => {
    await open({ bufferedEventsMax: 3 });
    const stream = client.respond({ input: "Hi" }, { lane: "a" });
    const iterator = stream[Symbol.asyncIterator]();
    const script = (await accept(socket, "resp_1")).created();
    expect((await iterator.next()).value).toMatchObject({ type: "response.created" });
    script.delta("1").delta("2").delta("3").delta("4");
    await settled();
    expect(stream.ended).toBe(true);
    const taken = [await iterator.next(), await iterator.next(), await iterator.next()];
    expect(taken.map(({ value }) => value)).toMatchObject([
      { delta: "1" },
      { delta: "2" },
      { delta: "3" },
    ]);
    await expect(iterator.next()).rejects.toMatchObject({ code: "consumer_too_slow" });
    expect(stream.cursor).toBe(3);
    const rest = client.resume("resp_1", { startingAfter: stream.cursor });
    const { stream_id } = await socket.message("mlx_serving:response.resume");
    new Script(socket, "resp_1", stream_id).delta("4", 4).completed();
    expect(await textOf(rest)).toBe("4");
  });

  it("needs no reader beside final(), however long the response is", async () => {
    await open({ bufferedEventsMax: 3 });
    const stream = client.respond({ input: "Hi" });
    const final = stream.final();
    const script = (await accept(socket, "resp_1")).created();
    for (let i = 0; i < 10; i += 1) script.delta(`${i}`);
    script.completed();
    expect((await final).text).toBe("0123456789");
    expect(stream.cursor).toBe(11);
  });

  it("keeps only what was not read, however long it takes", async () => {
    await open({ bufferedEventsMax: 2 });
    const stream = client.respond({ input: "Hi" });
    const script = (await accept(socket, "resp_1")).created();
    const iterator = stream[Symbol.asyncIterator]();
    for (let i = 0; i < 2500; i += 1) {
      script.delta(`${i}`);
      expect((await iterator.next()).done).toBe(false);
    }
    script.completed();
    await settled();
    expect((await iterator.next()).done).toBe(false);
    expect((await iterator.next()).value).toMatchObject({ type: "response.completed" });
    expect((await iterator.next()).done).toBe(true);
  });
});

describe("cancelling", () => {
  it("cancels on break", async () => {
    await open();
    const stream = client.respond({ input: "Hi" });
    (await accept(socket, "resp_1")).created().delta("a");
    for await (const { type } of stream) if (type === "response.output_text.delta") break;
    expect(await socket.message("response.cancel")).toMatchObject({ response_id: "resp_1" });
    await expect(stream.final()).rejects.toMatchObject({ name: "AbortError", code: "aborted" });
  });

  it("cancels on abort, with the signal's reason as the cause", async () => {
    await open();
    const controller = new AbortController();
    const stream = client.respond({ input: "Hi" }, { signal: controller.signal });
    (await accept(socket, "resp_1")).created().delta("a");
    await settled();
    controller.abort("enough");
    await expect(textOf(stream)).rejects.toMatchObject({ name: "AbortError", cause: "enough" });
    expect(await socket.message("response.cancel")).toMatchObject({ response_id: "resp_1" });
  });

  it("sends nothing when the signal was aborted before", async () => {
    await open();
    const stream = client.respond({ input: "Hi" }, { signal: AbortSignal.abort() });
    await expect(stream.final()).rejects.toMatchObject({ code: "aborted" });
    await settled();
    expect(socket.received).toEqual([]);
  });

  it("cancels once the id is known, when it was not yet", async () => {
    await open();
    const stream = client.respond({ input: "Hi" });
    const script = await accept(socket, "resp_1");
    await stream[Symbol.asyncDispose]();
    await settled();
    expect(socket.received).toHaveLength(1);
    script.created();
    expect(await socket.message("response.cancel")).toMatchObject({ response_id: "resp_1" });
  });

  it("cancels at the end of an `await using`, and not after the end of the response", async () => {
    await open();
    {
      await using stream = client.respond({ input: "Hi" });
      (await accept(socket, "resp_1")).created().completed();
      await stream.final();
    }
    {
      await using _stream = client.respond({ input: "Hi" });
      (await accept(socket, "resp_2")).created();
      await settled();
    }
    expect(await socket.message("response.cancel")).toMatchObject({ response_id: "resp_2" });
  });

  it("goes on to the terminal event after cancel(), which orders it once", async () => {
    await open();
    const stream = client.respond({ input: "Hi" });
    const script = (await accept(socket, "resp_1")).created().delta("a");
    await settled();
    stream.cancel();
    stream.cancel();
    await socket.message("response.cancel");
    script.delta("b").cancelled();
    const { text, response } = await stream.final();
    expect([text, response.status]).toEqual(["ab", "cancelled"]);
    expect(socket.received).toHaveLength(2);
  });

  it("cancels by id, and reports an unknown one", async () => {
    await open();
    const errors: unknown[] = [];
    client.on("error", (error) => errors.push(error));
    client.cancel("resp_9");
    const { event_id, response_id } = await socket.message("response.cancel");
    expect(response_id).toBe("resp_9");
    const error = {
      type: "not_found_error",
      code: "response_not_found",
      message: "No",
      param: null,
    };
    socket.send({ type: "error", status: 404, error, event_id });
    await settled();
    expect(errors).toMatchObject([{ name: "RequestError", status: 404 }]);
  });
});

describe("resume", () => {
  it("asks for what comes after a number, and checks from there", async () => {
    await open();
    const stream = client.resume("resp_1", { startingAfter: 4, lane: "b" });
    expect(await socket.message("mlx_serving:response.resume")).toMatchObject({
      response_id: "resp_1",
      starting_after: 4,
      stream_id: "b",
    });
    expect(stream.responseId).toBe("resp_1");
    expect(stream.cursor).toBe(4);
    new Script(socket, "resp_1", "b").delta("five", 5).delta("six").completed();
    expect(await textOf(stream)).toBe("fivesix");
  });

  it("starts from the beginning by default", async () => {
    await open();
    client.resume("resp_1");
    expect(await socket.message("mlx_serving:response.resume")).toMatchObject({
      starting_after: -1,
    });
  });
});

describe("connection", () => {
  it("gives what came and then an error, when the connection is lost", async () => {
    await open();
    const closes: unknown[] = [];
    client.on("close", (info) => closes.push(info));
    const stream = client.respond({ input: "Hi" });
    (await accept(socket, "resp_1")).created().delta("a");
    socket.raw.close(1012, "restart");
    await expect(textOf(stream)).rejects.toMatchObject({
      name: "ConnectionLostError",
      code: "connection_lost",
      closeCode: 1012,
      reason: "restart",
    });
    expect(stream.cursor).toBe(1);
    expect(closes).toEqual([{ closeCode: 1012, reason: "restart" }]);
    expect(client.connected).toBe(false);
    await expect(client.respond({ input: "Hi" }).final()).rejects.toMatchObject({
      code: "connection_lost",
    });
  });

  it("names the error that came before the close as its cause", async () => {
    await open();
    const stream = client.respond({ input: "Hi" });
    const error = {
      type: "overloaded_error",
      code: "consumer_too_slow",
      message: "m",
      param: null,
    };
    socket.send({ type: "error", status: 503, error });
    socket.raw.close(1013, "consumer_too_slow");
    await expect(stream.final()).rejects.toMatchObject({
      closeCode: 1013,
      cause: { code: "consumer_too_slow" },
    });
  });

  it("cancels what runs before it closes, and waits for the server", async () => {
    await open();
    const stream = client.respond({ input: "Hi" });
    const final = expect(stream.final()).rejects.toMatchObject({ code: "client_closed" });
    const script = await accept(socket, "resp_1");
    const closed = client.close();
    await final;
    script.created();
    await socket.message("response.cancel");
    expect(socket.raw.readyState).toBe(socket.raw.OPEN);
    script.cancelled();
    await closed;
    await expect(client.respond({ input: "Hi" }).final()).rejects.toMatchObject({
      code: "client_closed",
    });
  });

  it("closes all the same when the server never confirms", async () => {
    await open({ closeTimeoutMs: 20 });
    const stream = client.respond({ input: "Hi" });
    await accept(socket, "resp_1");
    await client[Symbol.asyncDispose]();
    expect(stream.ended).toBe(true);
  });

  it("passes notices on", async () => {
    await open();
    expect(socket.request.url).toBe("/v1/responses?events=mlx_serving");
    const seen: unknown[] = [];
    const stop = client.on("migrated", (notice) => seen.push(notice));
    client.on("draining", (notice) => seen.push(notice));
    const migrated = {
      type: "mlx_serving:response.migrated",
      response_id: "resp_1",
      attempt: 2,
      reason: "worker_lost",
      sequence_number: 1,
    };
    const draining = { type: "mlx_serving:server.draining", grace_ms: 10, sequence_number: 1 };
    socket.send(migrated);
    socket.send(draining);
    await settled();
    stop();
    socket.send(migrated);
    await settled();
    expect(seen).toEqual([migrated, draining]);
  });

  it.each([
    ["no JSON", "{"],
    ["no object", "3"],
    ["no type", "{}"],
    ["an event of no stream", '{"type":"response.created","sequence_number":0,"stream_id":"x"}'],
  ])("reports %s, and goes on", async (_what, frame) => {
    await open();
    const codes: string[] = [];
    client.on("error", ({ code }) => codes.push(code));
    socket.raw.send(frame);
    const stream = client.respond({ input: "Hi" });
    (await accept(socket, "resp_1")).created().completed();
    await stream.final();
    expect(codes).toEqual(["protocol_error"]);
  });
});
