import { describe, expect, it } from "vitest";
import { accept, Script } from "./support/fake-server.js";
import { client, open, settled, socket, textOf, useServer } from "./support/session.js";

useServer();

describe("respond", () => {
  it("sends the body with its options, and gives events and the whole response", async () => {
    await open();
    const stream = client.respond(
      { input: "Hi", temperature: 0 },
      { lane: "a", deadlineMs: 60_000, priority: "batch", idempotencyKey: "k" },
    );
    const create = await socket.message("response.create");
    expect(create).toMatchObject({
      input: "Hi",
      temperature: 0,
      stream_id: "a",
      "mlx_serving:priority": "batch",
      "mlx_serving:idempotency_key": "k",
    });
    // What is left of it when it is sent.
    const left = (create as Record<string, unknown>)["mlx_serving:deadline_ms"];
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(60_000);
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
    await open({ notices: false });
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

  it("after the end gets the terminal event again, and ends", async () => {
    await open();
    const stream = client.resume("resp_1", { startingAfter: 1, lane: "b" });
    await socket.message("mlx_serving:response.resume");
    new Script(socket, "resp_1", "b").delta("late", 0).completed();
    const { response } = await stream.final();
    expect(response.id).toBe("resp_1");
  });

  it("starts from the beginning by default", async () => {
    await open();
    client.resume("resp_1");
    expect(await socket.message("mlx_serving:response.resume")).toMatchObject({
      starting_after: -1,
    });
  });
});

describe("a connection", () => {
  it("gives what came and then an error, when the connection is lost for good", async () => {
    await open({ reconnect: false });
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
    await open({ reconnect: false });
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
