/** How the server ends, and that nothing of it remains. */
import { describe, expect, it, vi } from "vitest";
import { type ClientEvents, connect } from "../../src-ts/client/index.js";
import { isAlive, startServer } from "./support/server.js";

vi.setConfig({ testTimeout: 60_000 });

const flags = ["--engine", "fake", "--fake-tokens-per-second", "50"];

async function gone(pid: number): Promise<void> {
  while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe("SIGTERM", () => {
  it("lets running responses end, refuses new ones, and exits with 0; no process remains", async () => {
    await using server = await startServer({ flags });
    const { pid: workerPid } = await server.worker();
    const client = await connect(server.url, { reconnect: false });
    const draining: ClientEvents["draining"][] = [];
    client.on("draining", (notice) => draining.push(notice));
    const closed = new Promise<ClientEvents["close"]>((resolve) => client.on("close", resolve));
    const body = (i: number) => ({ input: `${i}`, max_output_tokens: 100 });
    const streams = Array.from({ length: 4 }, (_, i) => client.respond(body(i)));
    const finals = Promise.all(streams.map((stream) => stream.final()));
    await server.until(({ decoding }) => decoding === 4);

    server.signal("SIGTERM");
    await vi.waitUntil(() => draining.length > 0, { timeout: 10_000 });
    expect((await fetch(`${server.url}/ready`)).status).toBe(503);
    await expect(client.respond(body(9)).final()).rejects.toMatchObject({ status: 503 });

    for (const { usage } of await finals) expect(usage?.output_tokens).toBe(100);
    expect(await closed).toMatchObject({ closeCode: 1012 });
    expect(await server.exited).toEqual({ code: 0, signal: null });
    await gone(workerPid!);
    expect(server.stdout()).toBe(`mlx-serving ready on ${server.url}\n`);
  });

  it("fails what is not done after the drain time, and exits with 0", async () => {
    await using server = await startServer({ flags: [...flags, "--drain-timeout", "200ms"] });
    const { pid: workerPid } = await server.worker();
    const client = await connect(server.url, { reconnect: false });
    const stream = client.respond({ input: "Hi", max_output_tokens: 4000 });
    const ended = expect(stream.final()).rejects.toMatchObject({ name: "ResponseFailedError" });
    await server.until(({ decoding }) => decoding === 1);
    server.signal("SIGTERM");
    await ended;
    expect(await server.exited).toEqual({ code: 0, signal: null });
    await gone(workerPid!);
  });

  it("a second one ends the server at once, and its workers with it", async () => {
    await using server = await startServer({ flags });
    const { pid: workerPid } = await server.worker();
    const client = await connect(server.url, { reconnect: false });
    const lost = new Promise((resolve) => client.on("close", resolve));
    const stream = client.respond({ input: "Hi", max_output_tokens: 4000 });
    const ended = expect(stream.final()).rejects.toMatchObject({ code: "connection_lost" });
    await server.until(({ decoding }) => decoding === 1);
    const draining = new Promise((resolve) => client.on("draining", resolve));
    server.signal("SIGTERM");
    await draining;
    server.signal("SIGTERM");
    expect(await server.exited).toEqual({ code: 143, signal: null });
    await lost;
    await ended;
    await gone(workerPid!);
  });
});

describe("SIGKILL of the server", () => {
  it("leaves no worker behind", async () => {
    await using server = await startServer({ flags });
    const { pid: workerPid } = await server.worker();
    server.signal("SIGKILL");
    await server.exited;
    await gone(workerPid!);
  });
});

describe("a port in use", () => {
  it("is said in one sentence, with exit code 1, and leaves no process", async () => {
    await using server = await startServer({ flags });
    const { port } = new URL(server.url);
    await expect(startServer({ flags: [...flags, "--port", port] })).rejects.toThrow(
      new RegExp(`ended with 1 before it was ready:\\n.*Port ${port} is in use`),
    );
  });
});
