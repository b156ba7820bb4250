/** Plays cases against one server: the request as written, and the answer with what is known of it. */
import { request } from "node:http";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { type ServerProcess, startServer } from "../e2e/support/server.js";
import { EventSocket, type Json } from "../support/event-socket.js";
import type { Case } from "./cases.js";

export type { Json } from "../support/event-socket.js";
export type Engine = "fake" | "mlx";

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  /** Of JSON, or of an event. */
  body: Json;
  /** Type of the event over WebSocket. */
  event: string | undefined;
}

export interface Sent {
  method: string;
  path: string;
  headers?: Record<string, string>;
  body?: Buffer | string | undefined;
}

const flags: Record<Engine, string[]> = {
  // Slow enough for something to happen beside a stream.
  fake: ["--engine", "fake", "--fake-tokens-per-second", "200"],
  mlx: [],
};

const compress = { gzip: gzipSync, br: brotliCompressSync, deflate: deflateSync };
const longTokens = 1_000;

export class Player implements AsyncDisposable {
  private constructor(
    readonly engine: Engine,
    readonly server: ServerProcess,
  ) {}

  static async start(engine: Engine): Promise<Player> {
    return new Player(engine, await startServer({ flags: flags[engine] }));
  }

  async play({ route, headers, body }: Case): Promise<Answer> {
    const [method = "", ...rest] = route.split(" ");
    if (method === "WS") return this.overWebSocket(body.raw ?? "");
    const path = await this.withIds(rest.join(" "));
    const answer = await this.ask({
      method,
      path,
      headers: { "content-type": "application/json", ...headers },
      body: bytesOf(body),
    });
    return { ...answer, body: JSON.parse(answer.text), event: undefined };
  }

  ask({ method, path, headers = {}, body }: Sent) {
    return new Promise<{ status: number; headers: Answer["headers"]; text: string }>(
      (resolve, reject) => {
        // Node gives the body of a DELETE no length by itself.
        const length = body === undefined ? {} : { "content-length": Buffer.byteLength(body) };
        const options = { method, headers: { ...length, ...headers }, agent: false };
        const sent = request(new URL(path, this.server.url), options);
        sent.on("error", reject);
        sent.on("response", (answer) => {
          let text = "";
          answer.setEncoding("utf8");
          answer.on("data", (chunk: string) => {
            text += chunk;
          });
          answer.on("end", () =>
            resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }),
          );
          answer.on("error", reject);
        });
        sent.end(body);
      },
    );
  }

  async postJson(path: string, body: object | string): Promise<Json> {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const headers = { "content-type": "application/json" };
    const answer = await this.ask({ method: "POST", path, headers, body: text });
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.text}`);
    return JSON.parse(answer.text);
  }

  open(): Promise<EventSocket> {
    return EventSocket.open(this.server.url);
  }

  /** Every event up to the one that ends the response, or the error. */
  async eventsOf(message: string): Promise<Json[]> {
    const socket = await this.open();
    socket.send(message);
    await socket.until(() => socket.isOver);
    socket.close();
    return socket.events;
  }

  private async overWebSocket(message: string): Promise<Answer> {
    const events = await this.eventsOf(message);
    const { type: event, status = 200, response, ...error } = events.at(-1);
    return { status, headers: {}, body: response ?? error, event };
  }

  private async withIds(path: string): Promise<string> {
    if (path.includes("{stored id}")) {
      const { id } = await this.postJson("/v1/responses", { input: "hi", max_output_tokens: 1 });
      return path.replace("{stored id}", id);
    }
    return path.includes("{running id}")
      ? path.replace("{running id}", await this.running())
      : path;
  }

  /** Its stream is not read on: a stored response runs all the same. */
  private async running(): Promise<string> {
    const socket = await this.open();
    socket.send({ type: "response.create", input: "hi", max_output_tokens: longTokens });
    await socket.until(() => socket.events.length > 0);
    socket.close();
    return socket.events[0].response.id;
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.server[Symbol.asyncDispose]();
  }
}

function bytesOf({ raw, gzip_of, encoded }: Case["body"]): Buffer | string | undefined {
  if (gzip_of !== undefined) return gzipSync(gzip_of);
  if (encoded === undefined) return raw === "" ? undefined : raw;
  return encoded.as.reduce((bytes, layer) => compress[layer](bytes), Buffer.from(encoded.of));
}
