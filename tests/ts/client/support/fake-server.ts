/** A WebSocket server whose every word a test decides. */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";

/** A client's message; the fields that tests look at. */
export interface Message {
  type: string;
  stream_id: string;
  event_id: string;
  [field: string]: unknown;
}

export interface FakeSocket {
  /** Everything that the client sent, in order. */
  readonly received: Message[];
  readonly request: IncomingMessage;
  readonly raw: WebSocket;
  send(message: object): void;
  /** The next message of this type; one that has come already counts, each once. */
  message(type: string): Promise<Message>;
}

export interface FakeServer {
  readonly url: string;
  /** The next socket that is opened. */
  socket(): Promise<FakeSocket>;
  /** Answers upgrades with this instead of 101. */
  refuse(status: number, body: string, headers?: Record<string, string>): void;
  close(): Promise<void>;
}

/** A queue whose takers wait. */
class Mailbox<T> {
  #items: T[] = [];
  #takers: { wants(item: T): boolean; resolve(item: T): void }[] = [];

  put(item: T): void {
    const at = this.#takers.findIndex(({ wants }) => wants(item));
    if (at === -1) this.#items.push(item);
    else this.#takers.splice(at, 1)[0]!.resolve(item);
  }

  take(wants: (item: T) => boolean = () => true): Promise<T> {
    const at = this.#items.findIndex(wants);
    if (at !== -1) return Promise.resolve(this.#items.splice(at, 1)[0]!);
    return new Promise((resolve) => this.#takers.push({ wants, resolve }));
  }
}

function wrap(raw: WebSocket, request: IncomingMessage): FakeSocket {
  const received: Message[] = [];
  const mailbox = new Mailbox<Message>();
  raw.on("message", (data) => {
    const message = JSON.parse(data.toString()) as Message;
    received.push(message);
    mailbox.put(message);
  });
  return {
    received,
    request,
    raw,
    send: (message) => raw.send(JSON.stringify(message)),
    message: (type) => mailbox.take((message) => message.type === type),
  };
}

export async function startFakeServer(): Promise<FakeServer> {
  const http = createServer();
  const sockets = new WebSocketServer({ noServer: true });
  const opened = new Mailbox<FakeSocket>();
  let refusal: { status: number; body: string; headers: Record<string, string> } | undefined;
  http.on("upgrade", (request, stream, head) => {
    if (refusal !== undefined) {
      const { status, body, headers } = refusal;
      const fields = { "Content-Length": Buffer.byteLength(body), Connection: "close", ...headers };
      const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
      stream.end(`HTTP/1.1 ${status} No\r\n${lines.join("")}\r\n${body}`);
      return;
    }
    sockets.handleUpgrade(request, stream, head, (raw) => opened.put(wrap(raw, request)));
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const { port } = http.address() as AddressInfo;
  return {
    url: `ws://127.0.0.1:${port}`,
    socket: () => opened.take(),
    refuse: (status, body, headers = {}) => {
      refusal = { status, body, headers };
    },
    async close() {
      for (const raw of sockets.clients) raw.terminate();
      sockets.close();
      http.close();
      await once(http, "close");
    },
  };
}

/** The events of one response, numbered as they are made. */
export class Script {
  #number: number;
  #text = "";

  constructor(
    readonly socket: Pick<FakeSocket, "send">,
    readonly id: string,
    readonly streamId: string,
    /** Number of the first event. */
    from = 0,
  ) {
    this.#number = from;
  }

  /** Sends it with the next number, or with `number`. */
  send(type: string, fields: object = {}, number = this.#number): void {
    this.#number = number + 1;
    const envelope = { type, sequence_number: number, stream_id: this.streamId };
    this.socket.send({ ...envelope, ...fields });
  }

  created(): this {
    this.send("response.created", { response: this.#response("in_progress") });
    return this;
  }

  delta(delta: string, number?: number): this {
    this.#text += delta;
    this.send("response.output_text.delta", { delta, logprobs: [] }, number);
    return this;
  }

  completed(): this {
    this.send("response.completed", { response: this.#response("completed") });
    return this;
  }

  cancelled(): this {
    this.send("response.incomplete", { response: this.#response("cancelled") });
    return this;
  }

  failed(code: string): this {
    const error = { code, message: `It was ${code}` };
    this.send("response.failed", { response: { ...this.#response("failed"), error } });
    return this;
  }

  #response(status: string): object {
    const content = [{ type: "output_text", text: this.#text, annotations: [], logprobs: [] }];
    const usage = { input_tokens: 3, output_tokens: this.#number, total_tokens: 3 + this.#number };
    return {
      id: this.id,
      status,
      error: null,
      output: [{ type: "message", content }],
      usage: status === "in_progress" ? null : usage,
    };
  }
}

/** Waits for the next `response.create` and plays its server. */
export async function accept(socket: FakeSocket, id: string): Promise<Script> {
  const { stream_id } = await socket.message("response.create");
  return new Script(socket, id, stream_id);
}
