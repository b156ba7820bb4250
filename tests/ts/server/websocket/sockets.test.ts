/** How real sockets end: by their client, by a drain, by a fault of ours. */
import { describe, expect, it } from "vitest";
import WebSocket from "ws";
import { ServingError } from "../../../../src-ts/errors.js";
import { hold } from "../../support/scripted-engine.js";
import { eventually, startServer } from "../../support/test-server.js";
import { openSocket, refusedUpgrade } from "../../support/test-socket.js";

describe("a socket that goes", () => {
  it("leaves stored responses running and gives unstored ones the grace", async () => {
    const { url, engine } = await startServer({ resumeGraceMs: 50 });
    engine.script = hold;
    const socket = await openSocket(url);
    socket.create({ stream_id: "stored" });
    socket.create({ stream_id: "unstored", store: false });
    await socket.type("response.in_progress", 2);
    socket.ws.terminate();
    const [stored, unstored] = engine.runs;
    await eventually(() => unstored!.log.ending?.kind === "cancelled");
    expect(stored!.log.ending).toBeUndefined();
  });

  it("gives up what is being prepared and drops what waits", async () => {
    const { url, engine } = await startServer();
    let prepared = () => {};
    engine.preparing = new Promise((resolve) => {
      prepared = resolve;
    });
    const socket = await openSocket(url);
    for (let i = 0; i < 3; i++) socket.create();
    await eventually(() => engine.submissions.length === 1);
    socket.ws.terminate();
    await socket.closed;
    // The server has seen it go too once the socket no longer counts.
    await eventually(() => socket.ws.readyState === WebSocket.CLOSED);
    await eventually(() => engine.givenUp === 1);
    prepared();
    expect(engine.submissions).toHaveLength(1);
  });

  it("is dropped when it leaves two pings unanswered, and kept when it answers", async () => {
    const { url, engine } = await startServer({ limits: { pingIntervalMs: 300 } });
    engine.script = hold;
    const alive = await openSocket(url);
    const silent = await openSocket(url, { autoPong: false });
    expect((await silent.closed).code).toBe(1006);
    expect(silent.pings).toBe(2);
    await eventually(() => alive.pings >= 4);
    alive.create();
    await alive.type("response.in_progress");
  });

  it("is closed with 1008 when it floods with pings, and gets a pong otherwise", async () => {
    const { url } = await startServer({ limits: { clientPingsPerIntervalMax: 5 } });
    const socket = await openSocket(url);
    const pong = new Promise<string>((resolve) =>
      socket.ws.once("pong", (data) => resolve(String(data))),
    );
    socket.ws.ping("hey");
    expect(await pong).toBe("hey");
    for (let i = 0; i < 6; i++) socket.ws.ping();
    expect(await socket.closed).toMatchObject({ code: 1008 });
  });
});

describe("draining", () => {
  it("closes idle sockets at once, others when their responses have ended, all with 1012", async () => {
    const { url, engine, server } = await startServer();
    engine.script = hold;
    const idle = await openSocket(url);
    const busy = await openSocket(url);
    busy.create();
    await busy.type("response.in_progress");
    const drained = server.drain(5_000);
    expect(await idle.closed).toMatchObject({ code: 1012 });
    const refused = await refusedUpgrade(url);
    expect(refused.status).toBe(503);
    busy.create({ stream_id: "late", event_id: "late" });
    expect(await busy.type("error")).toMatchObject({ status: 503, event_id: "late" });
    engine.runs[0]!.emit("end");
    engine.runs[0]!.end({ kind: "stop" });
    expect(await busy.closed).toMatchObject({ code: 1012 });
    expect(busy.events.at(-1)!.type).toBe("response.completed");
    await drained;
    await expect(fetch(`${url}/health`)).rejects.toThrow();
  });

  it("that breaks a response off starts nothing behind it in its lane", async () => {
    const { url, engine, server } = await startServer();
    const other = await openSocket(url);
    const again = { input: "again", "mlx_serving:idempotency_key": "again" };
    other.create(again);
    await other.ended();
    engine.script = hold;
    const socket = await openSocket(url);
    socket.create({ stream_id: "a" });
    await socket.type("response.in_progress");
    socket.create({ stream_id: "a", ...again });
    // Its answer says that what was sent before has arrived.
    socket.send({ type: "unknown" });
    await socket.type("error");
    const drained = server.drain(5_000);
    await eventually(() => engine.draining);
    const { log } = engine.runs[1]!;
    log.interrupt(new ServingError("draining", { code: "server_draining", status: 503 }));
    expect(await socket.closed).toMatchObject({ code: 1012 });
    const ids = socket.events.flatMap(({ response }) => response?.id ?? []);
    expect(new Set(ids)).toEqual(new Set([log.id]));
    engine.runs[1]!.end({ kind: "stop" });
    await drained;
  });

  it("that runs out of time fails what is left, and its readers learn it", async () => {
    const { url, engine, server } = await startServer();
    engine.script = hold;
    const socket = await openSocket(url);
    socket.create();
    await socket.type("response.in_progress");
    await server.drain(20);
    expect((await socket.ended()).response.error.code).toBe("server_shutdown");
    expect(await socket.closed).toMatchObject({ code: 1012 });
  });
});

describe("a fault of ours", () => {
  it("closes this socket with 1011, is logged, and costs nobody else anything", async () => {
    const { url, engine, logs } = await startServer();
    engine.script = hold;
    const other = await openSocket(url);
    other.create();
    await other.type("response.in_progress");
    const socket = await openSocket(url);
    socket.create();
    await socket.type("response.in_progress");
    Object.defineProperty(engine.runs[1]!.log, "output", {
      get: () => {
        throw new Error("broken log");
      },
    });
    engine.runs[1]!.end({ kind: "stop" });
    expect(await socket.closed).toMatchObject({ code: 1011 });
    expect(logs.some((line) => line.includes("socket failed"))).toBe(true);
    engine.runs[0]!.end({ kind: "stop" });
    await other.ended();
  });
});
