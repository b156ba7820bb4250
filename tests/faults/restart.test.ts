/** Servers that die or drain and are started again, as their clients see it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { connect } from "../../src-ts/client/index.js";
import { startServer } from "../e2e/support/server.js";
import { range, read } from "../support/reading.js";

vi.setConfig({ testTimeout: 120_000 });

describe("a server that is killed and started again without a log on disk", () => {
  const slow = ["--engine", "fake", "--fake-tokens-per-second", "50"];

  it("gets again what nobody has read, and says which responses are lost", async () => {
    await using first = await startServer({ flags: slow });
    const { port } = new URL(first.url);
    await using client = await connect(first.url);
    const body = { input: "Hi", max_output_tokens: 60 };
    const expected = (await client.respond(body).final()).text;
    const unread = client.respond(body);
    const final = unread.final();
    const half = client.respond(body);
    const iterator = half[Symbol.asyncIterator]();
    for (let i = 0; i < 10; i += 1) await iterator.next();
    const before = unread.responseId;
    const back = new Promise((resolve) => client.on("reconnected", resolve));
    first.signal("SIGKILL");
    await first.exited;
    await using _second = await startServer({ flags: [...slow, "--port", port] });
    await back;
    expect((await final).text).toBe(expected);
    expect(unread.responseId).not.toBe(before);
    const rest = (async () => {
      for (let step = await iterator.next(); !step.done; ) step = await iterator.next();
    })();
    await expect(rest).rejects.toMatchObject({
      code: "response_lost",
      responseId: half.responseId,
    });
  });

  it("is gone on with after a drain", async () => {
    await using first = await startServer({ flags: slow });
    const { port } = new URL(first.url);
    await using client = await connect(first.url);
    const back = new Promise((resolve) => client.on("reconnected", resolve));
    first.signal("SIGTERM");
    expect(await first.exited).toEqual({ code: 0, signal: null });
    const stream = client.respond({ input: "Hi", max_output_tokens: 12 });
    await using _second = await startServer({ flags: [...slow, "--port", port] });
    await back;
    expect((await stream.final()).usage).toMatchObject({ output_tokens: 12 });
  });
});

describe("a server that is killed three times, with a log on disk", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "mlx-serving-wire-"));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it("is a pause to its streams, and nothing else", async () => {
    const flags = ["--engine", "fake", "--fake-tokens-per-second", "40", "--data-dir", folder];
    let current = await startServer({ flags });
    const { url } = current;
    const { port } = new URL(url);
    try {
      await using client = await connect(url);
      const bodyOf = (i: number) => ({ input: `Story ${i}`, max_output_tokens: 240 });
      const respond = () => range(0, 8).map((i) => client.respond(bodyOf(i)));
      const expected = await Promise.all(respond().map((stream) => read(stream, url)));
      const streams = respond();
      const outcomes = Promise.all(streams.map((stream) => read(stream, url)));
      for (let kills = 0; kills < 3; kills += 1) {
        const { cursor } = streams[0]!;
        // On a busy machine an entry has many tokens.
        await vi.waitUntil(() => streams[0]!.cursor > cursor + 4, { timeout: 30_000 });
        current.signal("SIGKILL");
        await current.exited;
        current = await startServer({ flags: [...flags, "--port", port] });
      }
      expect(await outcomes).toEqual(expected);
    } finally {
      await current[Symbol.asyncDispose]();
    }
  });
});
