/** The Responses API without a client of ours: frames and events as the text that came over the wire. */
import { type IncomingMessage, request } from "node:http";
import { WebSocket } from "ws";

/** One answer over HTTP. `isWhole`: it came to its end and was not cut. */
export interface RawAnswer {
  status: number;
  body: string;
  isWhole: boolean;
}

export interface RawRequest {
  /** Base address, a proxy's perhaps. */
  url: string;
  path: string;
  /** The server's own name, where `url` is a proxy's. */
  host?: string;
  method?: "GET" | "POST";
  headers?: Record<string, string>;
  body?: object;
}

/** A connection of its own. A cut is an answer too: with what came before it, status 0 if nothing did. */
export function ask({ url, path, host, method = "GET", headers = {}, body }: RawRequest) {
  return new Promise<RawAnswer>((resolve) => {
    const answer = { status: 0, body: "", isWhole: false };
    const json = body === undefined ? {} : { "content-type": "application/json" };
    const sent = request(
      new URL(path, url),
      { agent: false, method, headers: { ...json, ...headers, ...(host && { host }) } },
      (incoming) => read(incoming, answer, resolve),
    );
    sent.on("error", () => resolve(answer));
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function read(incoming: IncomingMessage, answer: RawAnswer, done: (answer: RawAnswer) => void) {
  answer.status = incoming.statusCode ?? 0;
  incoming.setEncoding("utf8");
  incoming.on("data", (text: string) => {
    answer.body += text;
  });
  incoming.on("end", () => {
    answer.isWhole = incoming.complete;
  });
  // Follows every end, and the error of a cut.
  incoming.on("error", () => {});
  incoming.on("close", () => done(answer));
}

/** Complete server-sent events, each with its closing empty line. What was cut short is left out. */
export function wholeEvents(body: string): string[] {
  return body.match(/[\s\S]*?\n\n/g) ?? [];
}

/** The JSON of one server-sent event. */
export function dataOf(event: string): { sequence_number: number; [field: string]: unknown } {
  const line = event.split("\n").find((text) => text.startsWith("data: "));
  if (line === undefined) throw new Error(`No data in ${JSON.stringify(event)}`);
  return JSON.parse(line.slice("data: ".length));
}

const terminalTypes = /^\{"type":"(response\.(completed|incomplete|failed)|error)"/;

/** A socket that hands out frames as text. One exchange at a time. */
export class RawSocket {
  readonly #ws: WebSocket;
  #onFrame: (text: string) => void = () => {};

  private constructor(ws: WebSocket) {
    this.#ws = ws;
    ws.on("message", (data) => this.#onFrame(data.toString()));
  }

  static open(url: string): Promise<RawSocket> {
    const ws = new WebSocket(`${url.replace("http", "ws")}/v1/responses`);
    return new Promise((resolve, reject) => {
      ws.on("open", () => resolve(new RawSocket(ws)));
      ws.on("error", reject);
    });
  }

  /** Sends a message; resolves with the frames up to and with the terminal one, or an error. */
  exchange(message: object): Promise<string[]> {
    const frames: string[] = [];
    return new Promise((resolve) => {
      this.#onFrame = (text) => {
        frames.push(text);
        if (terminalTypes.test(text)) resolve(frames);
      };
      this.#ws.send(JSON.stringify(message));
    });
  }

  close(): void {
    this.#ws.close();
  }
}
