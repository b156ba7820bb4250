/** A server for one test: started on a free port, closed when the test has ended. */
import { connect, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import {
  createServer,
  type ServerOptions,
  type ServingServer,
} from "../../../src-ts/server/index.js";
import type { ServerLogger } from "../../../src-ts/server/options.js";
import { ScriptedEngine } from "./scripted-engine.js";

export interface TestServer {
  server: ServingServer;
  engine: ScriptedEngine;
  url: string;
  port: number;
  /** What the server logged, one JSON line each. */
  logs: string[];
  /** Of them, those at the level of errors. */
  faults: string[];
  get(path: string, init?: RequestInit): Promise<globalThis.Response>;
  post(path: string, body: unknown, init?: RequestInit): Promise<globalThis.Response>;
}

export async function startServer(config: ServerOptions = {}): Promise<TestServer> {
  const engine = new ScriptedEngine();
  const logs: string[] = [];
  const faults: string[] = [];
  const keep = (...entry: unknown[]) => void logs.push(JSON.stringify(entry));
  const fault = (...entry: unknown[]) => {
    faults.push(JSON.stringify(entry));
    keep(...entry);
  };
  const logger = { debug: keep, info: keep, warn: keep, error: fault } as unknown as ServerLogger;
  const server = createServer({ engine, config: { port: 0, ...config }, logger });
  const { url, port } = await server.listen();
  onTestFinished(async () => {
    await server.close();
    await engine.close();
  });
  const get = (path: string, init: RequestInit = {}) => fetch(`${url}${path}`, init);
  const post = (path: string, body: unknown, init: RequestInit = {}) =>
    fetch(`${url}${path}`, {
      method: "POST",
      body: typeof body === "string" ? body : JSON.stringify(body),
      ...init,
      headers: { "content-type": "application/json", ...init.headers },
    });
  return { server, engine, url, port, logs, faults, get, post };
}

export interface SseEvent {
  event: string | undefined;
  data: string;
}

/** By the grammar of server-sent events; throws for a line that is none of it. */
export function parseSse(text: string): { events: SseEvent[]; comments: number } {
  const events: SseEvent[] = [];
  let comments = 0;
  for (const block of text.split("\n\n")) {
    if (block === "") continue;
    const lines = block.split("\n");
    if (lines.every((line) => line.startsWith(":"))) {
      comments += lines.length;
      continue;
    }
    const field = (name: string) =>
      lines
        .filter((line) => line.startsWith(`${name}: `))
        .map((line) => line.slice(name.length + 2));
    if (lines.some((line) => !/^(event|data): /.test(line)))
      throw new Error(`no server-sent event: ${JSON.stringify(block)}`);
    events.push({ event: field("event")[0], data: field("data").join("\n") });
  }
  return { events, comments };
}

/** A connection that speaks what the test writes. */
export async function rawConnection(port: number): Promise<{
  socket: Socket;
  /** Everything received, once the other side has closed. */
  ended: Promise<string>;
}> {
  const socket = connect(port, "127.0.0.1");
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  let received = "";
  socket.on("data", (chunk) => {
    received += chunk.toString("latin1");
  });
  const ended = new Promise<string>((resolve) => {
    socket.on("close", () => resolve(received));
    socket.on("error", () => resolve(received));
  });
  onTestFinished(() => {
    socket.destroy();
  });
  return { socket, ended };
}

/** Waits until it holds; a test that never sees it times out. */
export async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Waits by the clock that the server measures with: a timer of `ms` may fire a little early by it. */
export async function pass(ms: number): Promise<void> {
  const until = performance.now() + ms;
  await eventually(() => performance.now() >= until);
}
