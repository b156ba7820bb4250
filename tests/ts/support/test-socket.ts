/** A WebSocket client for tests: keeps what it gets, waits for what the test names. */
import { onTestFinished } from "vitest";
import WebSocket, { type ClientOptions } from "ws";
import { ServerEvent } from "../../../src-ts/protocol/index.js";

// biome-ignore lint/suspicious/noExplicitAny: a test looks into events of all types
export type AnyEvent = Record<string, any>;

export interface Closed {
  code: number;
  reason: string;
}

export class TestSocket {
  readonly events: AnyEvent[] = [];
  readonly closed: Promise<Closed>;
  /** Pings that the server has sent. */
  pings = 0;
  /** Set once it is closed. */
  close: Closed | undefined;
  private waiters: (() => void)[] = [];

  constructor(
    readonly ws: WebSocket,
    /** Checks every event against the public schema. */
    isStrict = true,
  ) {
    ws.on("message", (data, isBinary) => {
      if (isBinary) throw new Error("a binary frame");
      const event: unknown = JSON.parse(String(data));
      this.events.push(isStrict ? ServerEvent.parse(event) : (event as AnyEvent));
      this.wake();
    });
    this.closed = new Promise((resolve) => {
      ws.on("close", (code, reason) => {
        this.close = { code, reason: String(reason) };
        this.wake();
        resolve(this.close);
      });
    });
    ws.on("ping", () => this.pings++);
    ws.on("error", () => {});
    onTestFinished(() => ws.terminate());
  }

  send(message: unknown): void {
    this.ws.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  create(fields: object = {}): void {
    this.send({ type: "response.create", input: "hi", ...fields });
  }

  /** Until `count` events match. */
  async until(matches: (event: AnyEvent) => boolean, count = 1): Promise<AnyEvent> {
    for (;;) {
      const found = this.events.filter(matches);
      const last = found[count - 1];
      if (last !== undefined) return last;
      if (this.close !== undefined) throw new Error(`closed with ${JSON.stringify(this.close)}`);
      await new Promise<void>((resolve) => this.waiters.push(resolve));
    }
  }

  type(type: string, count = 1): Promise<AnyEvent> {
    return this.until((event) => event.type === type, count);
  }

  ended(count = 1): Promise<AnyEvent> {
    return this.until(isTerminal, count);
  }

  private wake(): void {
    for (const resolve of this.waiters.splice(0)) resolve();
  }
}

export function isTerminal({ type }: AnyEvent): boolean {
  return (
    type === "response.completed" || type === "response.incomplete" || type === "response.failed"
  );
}

export async function openSocket(
  url: string,
  {
    path = "/v1/responses",
    query = "",
    isStrict = true,
    ...options
  }: ClientOptions & { path?: string; query?: string; isStrict?: boolean } = {},
): Promise<TestSocket> {
  const ws = new WebSocket(`${url.replace("http", "ws")}${path}${query}`, options);
  const socket = new TestSocket(ws, isStrict);
  await new Promise<void>((resolve, reject) => {
    ws.once("open", resolve);
    ws.once("error", reject);
  });
  return socket;
}

/** The answer in place of the 101. */
export function refusedUpgrade(
  url: string,
  options: ClientOptions & { path?: string } = {},
): Promise<{ status: number; headers: Record<string, unknown>; body: AnyEvent }> {
  const { path = "/v1/responses", ...rest } = options;
  const ws = new WebSocket(`${url.replace("http", "ws")}${path}`, rest);
  ws.on("error", () => {});
  return new Promise((resolve, reject) => {
    ws.once("open", () => reject(new Error("the upgrade was not refused")));
    ws.once("unexpected-response", (_request, response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => {
        const body = JSON.parse(Buffer.concat(chunks).toString()) as AnyEvent;
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
      });
    });
  });
}
