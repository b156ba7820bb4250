/** A client and a fake server that are connected to each other, fresh for each test. */
import { afterEach, beforeEach } from "vitest";
import {
  type Client,
  type ConnectOptions,
  connect,
  type ResponseStream,
} from "../../../../src-ts/client/index.js";
import { type FakeServer, type FakeSocket, startFakeServer } from "./fake-server.js";

let server: FakeServer;
export let client: Client;
/** The server's side of the connection. */
export let socket: FakeSocket;

/** To be called at the top of a test file. */
export function useServer(): void {
  beforeEach(async () => {
    server = await startFakeServer();
  });
  afterEach(async () => {
    await server.close();
  });
}

/** Connects; each test does it, with the options that it wants. */
export async function open(options: ConnectOptions = {}): Promise<void> {
  [client, socket] = await Promise.all([connect(server.url, options), server.socket()]);
}

/** All text of a stream, by iterating over it. */
export async function textOf(stream: ResponseStream): Promise<string> {
  let text = "";
  for await (const event of stream) {
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  return text;
}

/** Resolves when the client has handled everything that was sent to it so far. */
export async function settled(): Promise<void> {
  const pong = new Promise((resolve) => socket.raw.once("pong", resolve));
  socket.raw.ping();
  await pong;
}
