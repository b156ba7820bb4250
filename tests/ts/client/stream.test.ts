import { describe, expect, it } from "vitest";
import { accept, Script } from "./support/fake-server.js";
import { client, open, settled, socket, textOf, useServer } from "./support/session.js";

useServer();

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
