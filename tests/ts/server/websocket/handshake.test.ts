/** The handshake, over real sockets: who gets a 101, and what the others are told. */
import { describe, expect, it } from "vitest";
import WebSocket from "ws";
import { startServer } from "../../support/test-server.js";
import { openSocket, refusedUpgrade } from "../../support/test-socket.js";

describe("before the 101", () => {
  it("asks for a key", async () => {
    const { url } = await startServer({ apiKeys: ["key"] });
    const none = await refusedUpgrade(url);
    expect(none.status).toBe(401);
    expect(none.body.error).toMatchObject({
      type: "authentication_error",
      code: "missing_api_key",
    });
    expect(none.headers["x-request-id"]).toMatch(/^req_/);
    const wrong = await refusedUpgrade(url, { headers: { authorization: "Bearer other" } });
    expect(wrong.status).toBe(401);
    const socket = await openSocket(url, { headers: { authorization: "Bearer key" } });
    socket.create();
    await socket.ended();
  });

  it("checks Host and Origin", async () => {
    const { url, port } = await startServer({ allowedOrigins: ["https://app.example"] });
    const host = await refusedUpgrade(url, { headers: { host: "evil.example" } });
    expect([host.status, host.body.error.code]).toEqual([403, "host_not_allowed"]);
    for (const origin of ["https://evil.example", "null"]) {
      const refused = await refusedUpgrade(url, { origin });
      expect([refused.status, refused.body.error.code]).toEqual([403, "origin_not_allowed"]);
    }
    for (const origin of ["https://app.example", `http://127.0.0.1:${port}`])
      await openSocket(url, { origin });
  });

  it("knows one path and two parameters, each once, and lets others be", async () => {
    const { url } = await startServer();
    const path = await refusedUpgrade(url, { path: "/v1/chat/completions" });
    expect([path.status, path.body.error.code]).toEqual([404, "unknown_route"]);
    for (const [query, param] of [
      ["?events=all", "events"],
      ["?ticket=x&ticket=x", "ticket"],
      ["?events=mlx_serving&events=mlx_serving", "events"],
    ]) {
      const refused = await refusedUpgrade(url, { path: `/v1/responses${query}` });
      expect([refused.status, refused.body.error.param]).toEqual([400, param]);
    }
    for (const query of ["?events=mlx_serving", "?model=m&api-version=2025-01-01", "/"])
      await openSocket(url, { query });
  });

  it.each([
    ["?model=m", "model"],
    ["?events=mlx_serving&api-version=2025-01-01", "api-version"],
    ["?ticket=x&Ticket=y", "Ticket"],
    ["?a%0d%0ab=1", "a??b"],
    ["?=1", ""],
    [`?${"x".repeat(500)}`, "x".repeat(64)],
  ])("a strict server refuses %s by name", async (query, param) => {
    const { url } = await startServer({ strict: true });
    const refused = await refusedUpgrade(url, { path: `/v1/responses${query}` });
    expect([refused.status, refused.body.error.code]).toEqual([400, "unknown_parameter"]);
    expect(refused.body.error.param).toBe(param);
    await openSocket(url, { query: "?events=mlx_serving" });
  });

  it("says when there are too many sockets, and has room again when one goes", async () => {
    const { url } = await startServer({ limits: { socketsMax: 1 } });
    const first = await openSocket(url);
    const refused = await refusedUpgrade(url);
    expect([refused.status, refused.body.error.code]).toEqual([503, "too_many_sockets"]);
    expect(refused.headers["retry-after"]).toBe("5");
    first.ws.close();
    await first.closed;
    await openSocket(url);
  });

  it("repeats the request's id in the 101", async () => {
    const { url } = await startServer();
    const ws = new WebSocket(`${url.replace("http", "ws")}/v1/responses`, {
      headers: { "x-request-id": "mine" },
    });
    const headers = await new Promise<Record<string, unknown>>((resolve) => {
      ws.once("upgrade", (response) => resolve(response.headers));
    });
    expect(headers["x-request-id"]).toBe("mine");
    ws.terminate();
  });
});
