/** A WebSocket that keeps every event; one response at a time. */
import WebSocket from "ws";

// biome-ignore lint/suspicious/noExplicitAny: tests look into events of all kinds
export type Json = any;

const last = /^(error|response\.(completed|incomplete|failed))$/;

export class EventSocket {
  readonly events: Json[] = [];
  private closedWith: number | undefined;
  private waiting: (() => void)[] = [];

  private constructor(private readonly ws: WebSocket) {
    ws.on("message", (data) => {
      this.events.push(JSON.parse(String(data)));
      this.wake();
    });
    ws.on("close", (code) => {
      this.closedWith = code;
      this.wake();
    });
    ws.on("error", () => {});
  }

  static async open(url: string): Promise<EventSocket> {
    const ws = new WebSocket(`${url.replace("http", "ws")}/v1/responses`);
    const socket = new EventSocket(ws);
    await new Promise<void>((resolve, reject) => {
      ws.once("open", resolve);
      ws.once("error", reject);
    });
    return socket;
  }

  /** The response has ended, or there will be none. */
  get isOver(): boolean {
    return this.events.some(({ type }) => last.test(type));
  }

  /** Undefined while it is open. */
  get closeCode(): number | undefined {
    return this.closedWith;
  }

  send(message: object | string): void {
    this.ws.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  /** Perhaps no UTF-8, in a frame that says that it is a text. */
  sendText(bytes: Buffer): void {
    this.ws.send(bytes, { binary: false });
  }

  /** Until it holds; rejects when the socket closes before. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (this.closedWith !== undefined) throw new Error(`closed with ${this.closedWith}`);
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  close(): void {
    this.ws.terminate();
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}
