import { describe, expect, it } from "vitest";
import { clientsOf } from "../../../src-ts/browser/source.js";
import { startFakeServer } from "../client/support/fake-server.js";
import { VirtualWorld } from "../client/support/virtual.js";

const { signal } = new AbortController();

describe("a client, or a function that gives one", () => {
  it("stays its owner's", async () => {
    const client = await new VirtualWorld().connect();
    for (const source of [client, () => client, async () => client]) {
      const clients = clientsOf(source, {});
      expect(await clients.get(signal)).toBe(client);
      clients.release();
      expect(client.connected).toBe(true);
    }
    expect(clientsOf(client, {}).current).toBe(client);
    expect(clientsOf(() => client, {}).current).toBeUndefined();
  });
});

describe("an address", () => {
  it("is connected to when it is needed, once, and closed on release", async () => {
    const server = await startFakeServer();
    try {
      const clients = clientsOf(new URL(server.url), { notices: false });
      expect(clients.current).toBeUndefined();
      const client = await clients.get(signal);
      const { request, raw } = await server.socket();
      expect(request.url).toBe("/v1/responses");
      expect(await clients.get(signal)).toBe(client);
      const closed = new Promise((resolve) => raw.once("close", resolve));
      clients.release();
      await closed;
      expect(clients.current).toBeUndefined();
      expect(client.connected).toBe(false);
      expect(await clients.get(signal)).not.toBe(client);
      clients.release();
    } finally {
      await server.close();
    }
  });

  it("is connected to again when its connection has gone for good", async () => {
    const server = await startFakeServer();
    try {
      const clients = clientsOf(server.url, { reconnect: false });
      const client = await clients.get(signal);
      const gone = new Promise((resolve) => client.on("close", resolve));
      (await server.socket()).raw.close(1011);
      await gone;
      expect(clients.current).toBeUndefined();
      expect(await clients.get(signal)).not.toBe(client);
      clients.release();
    } finally {
      await server.close();
    }
  });

  it("is given up when the signal says so", async () => {
    const clients = clientsOf("ws://127.0.0.1:1", {});
    await expect(clients.get(AbortSignal.abort())).rejects.toMatchObject({ code: "aborted" });
    await expect(clients.get(signal)).rejects.toMatchObject({ code: "connection_refused" });
    expect(clients.current).toBeUndefined();
  });

  it("leaves nothing open that was given up while it opened", async () => {
    const server = await startFakeServer();
    try {
      const clients = clientsOf(server.url, {});
      const abort = new AbortController();
      const getting = clients.get(abort.signal);
      const { raw } = await server.socket();
      const closed = new Promise((resolve) => raw.once("close", resolve));
      abort.abort();
      clients.release();
      await expect(getting).rejects.toMatchObject({ code: "aborted" });
      await closed;
      expect(clients.current).toBeUndefined();
    } finally {
      await server.close();
    }
  });
});
