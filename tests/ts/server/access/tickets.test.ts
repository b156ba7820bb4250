import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { WebSocketTicket } from "../../../../src-ts/protocol/index.js";
import { Tickets } from "../../../../src-ts/server/access/tickets.js";
import { startServer, type TestServer } from "../../support/test-server.js";
import { openSocket, refusedUpgrade } from "../../support/test-socket.js";

const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });

async function ticketOf({ post }: TestServer, init: RequestInit = {}): Promise<string> {
  const answer = await post("/v1/ws-tickets", {}, init);
  expect(answer.status).toBe(200);
  return WebSocketTicket.parse(await answer.json()).ticket;
}

const withTicket = (url: string, ticket: string) =>
  refusedUpgrade(url, { path: `/v1/responses?ticket=${encodeURIComponent(ticket)}` });

describe("a ticket", () => {
  it("is given for a key, and for nothing less", async () => {
    const { post, url } = await startServer({ apiKeys: ["key"] });
    expect((await post("/v1/ws-tickets", {})).status).toBe(401);
    const answer = await post("/v1/ws-tickets", {}, as("key"));
    expect(answer.headers.get("cache-control")).toBe("no-store");
    const { ticket, expires_at, expires_in } = WebSocketTicket.parse(await answer.json());
    expect(Buffer.from(ticket, "base64url")).toHaveLength(32);
    expect(expires_in).toBe(30);
    expect(Math.abs(expires_at - Date.now() / 1000 - expires_in)).toBeLessThan(5);
    const bare = await fetch(`${url}/v1/ws-tickets`, { method: "POST", ...as("key") });
    expect(bare.status).toBe(200);
  });

  it("takes no body but an empty one", async () => {
    const { post } = await startServer();
    const answer = await post("/v1/ws-tickets", { key: "x" });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({
      error: { code: "unknown_parameter", param: "key" },
    });
  });

  it("opens one socket, as its key", async () => {
    const server = await startServer({ apiKeys: ["one", "two"] });
    const ticket = await ticketOf(server, as("one"));
    const socket = await openSocket(server.url, { query: `?ticket=${ticket}` });
    socket.create();
    const { response } = await socket.ended();
    expect((await server.get(`/v1/responses/${response.id}`, as("one"))).status).toBe(200);
    expect((await server.get(`/v1/responses/${response.id}`, as("two"))).status).toBe(404);
    const again = await withTicket(server.url, ticket);
    expect([again.status, again.body.error.code]).toEqual([401, "invalid_ticket"]);
    expect(again.headers["www-authenticate"]).toBe("Bearer");
  });

  it("works beside `events`, and where no key is needed", async () => {
    const server = await startServer();
    const ticket = await ticketOf(server);
    const socket = await openSocket(server.url, { query: `?events=mlx_serving&ticket=${ticket}` });
    socket.create();
    await socket.ended();
  });

  it("that is wrong is refused, whatever else is right, and is never repeated", async () => {
    const server = await startServer({ apiKeys: ["key"] });
    for (const ticket of ["", "made-up", "x".repeat(4000)]) {
      const refused = await refusedUpgrade(server.url, {
        path: `/v1/responses?ticket=${ticket}`,
        ...as("key"),
      });
      expect([refused.status, refused.body.error.code]).toEqual([401, "invalid_ticket"]);
    }
    expect((await withTicket(server.url, "made-up")).body.error.message).not.toContain("made-up");
    expect(server.logs.join("\n")).not.toContain("made-up");
  });

  it("is not logged", async () => {
    const server = await startServer();
    const ticket = await ticketOf(server);
    const socket = await openSocket(server.url, { query: `?ticket=${ticket}` });
    socket.send("nonsense");
    await socket.type("error");
    await withTicket(server.url, ticket);
    expect(server.logs.length).toBeGreaterThan(0);
    expect(server.logs.join("\n")).not.toContain(ticket);
  });

  it("is spent by the Origin check of nobody: a wrong Origin is refused before", async () => {
    const server = await startServer();
    const ticket = await ticketOf(server);
    const path = `/v1/responses?ticket=${ticket}`;
    const refused = await refusedUpgrade(server.url, { path, origin: "https://evil.example" });
    expect(refused.status).toBe(403);
    await openSocket(server.url, { query: `?ticket=${ticket}` });
  });

  it("lives as long as it says", async () => {
    const server = await startServer({ limits: { ticketLifeMs: 1 } });
    const ticket = await ticketOf(server);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect((await withTicket(server.url, ticket)).status).toBe(401);
  });
});

describe("tickets", () => {
  const identity = (name: string) => ({ owner: name, clientId: name });
  const limits = { ticketLifeMs: 100, ticketsPerClientMax: 2, ticketsMax: 3 };

  it("are bounded for each client and for all, and their room comes back", () => {
    let now = 0;
    const tickets = new Tickets(limits, () => now);
    const refused = (name: string) => {
      try {
        tickets.issue(identity(name));
      } catch (error) {
        return error;
      }
    };
    const { ticket } = tickets.issue(identity("a"));
    tickets.issue(identity("a"));
    expect(refused("a")).toMatchObject({ status: 429, code: "too_many_tickets", retryAfterS: 1 });
    tickets.issue(identity("b"));
    expect(refused("b")).toMatchObject({ status: 429 });
    expect(tickets.redeem(ticket).owner).toBe("a");
    now = 50;
    tickets.issue(identity("b"));
    now = 100;
    expect(tickets.size).toBe(1);
    for (const name of ["a", "a"]) tickets.issue(identity(name));
    now = 1000;
    expect(tickets.size).toBe(0);
  });

  it("are not kept as they are", () => {
    const tickets = new Tickets(limits);
    const { ticket } = tickets.issue(identity("a"));
    const inside = inspect(tickets, { depth: 9, maxArrayLength: null });
    expect(inside).toContain("owner");
    expect(inside).not.toContain(ticket);
  });
});
