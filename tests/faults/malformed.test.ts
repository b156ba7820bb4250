/** Text that is none, of all kinds, beside streams that must not notice. */
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { badMessagesMax } from "../../src-ts/protocol/limits.js";
import { isIdle, type ServerProcess, startServer } from "../e2e/support/server.js";
import { EventSocket } from "../support/event-socket.js";
import { ask } from "../support/raw-responses.js";
import { type Malformed, malformed } from "./support/malformed.js";
import { expectWhole, seeded } from "./support/stored.js";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const count = 500;
const seed = 10;
const tokens = 60;
const strangeTokens = 2;

let server: ServerProcess;
beforeAll(async () => {
  server = await startServer({ flags: ["--engine", "fake", "--fake-tokens-per-second", "100"] });
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

const identity = async () => {
  const { pid, epoch, restarts, state } = await server.worker();
  return { pid, epoch, restarts, state };
};

type Stream = () => Promise<string>;

async function post(path: string, body: object): Promise<string> {
  const answer = await ask({ url: server.url, path, method: "POST", body });
  expect(answer).toMatchObject({ status: 200, isWhole: true });
  return answer.body;
}

const dataIn = (body: string) =>
  [...body.matchAll(/^data: (\{.+)$/gm)].map(([, data]) => JSON.parse(data!));

/** One of each kind: chat and responses as events, and a socket. */
const streams: Stream[] = [
  async () => {
    const messages = [{ role: "user", content: "Of the sea" }];
    const body = { messages, max_tokens: tokens, stream: true };
    const chunks = dataIn(await post("/v1/chat/completions", body));
    return chunks.map(({ choices }) => choices[0].delta.content ?? "").join("");
  },
  async () => {
    const body = { input: "Of the wood", max_output_tokens: tokens, stream: true };
    const events = dataIn(await post("/v1/responses", body));
    expectWhole(events, "events over HTTP");
    return events.at(-1).response.output[0].content[0].text;
  },
  async () => {
    const socket = await EventSocket.open(server.url);
    socket.send({ type: "response.create", input: "Of the hills", max_output_tokens: tokens });
    await socket.until(() => socket.isOver);
    socket.close();
    expectWhole(socket.events, "events over WebSocket");
    return socket.events.at(-1).response.output[0].content[0].text;
  },
];

/** Sends what is malformed; a socket that was closed for it is opened again. */
class Sender {
  readonly closeCodes = new Set<number>();
  private socket: EventSocket | undefined;

  async send(one: Malformed): Promise<void> {
    if (one.over === "http") return this.overHttp(one);
    if (this.socket?.closeCode !== undefined) this.socket = undefined;
    this.socket ??= await EventSocket.open(server.url);
    const { socket } = this;
    const before = socket.events.length;
    socket.sendText(one.message);
    const isClosed = () => socket.closeCode !== undefined;
    await socket.until(() => socket.events.length > before || isClosed());
    // The last one that a socket may send is answered, and closes it.
    if (one.closes || socket.events.length === badMessagesMax) await socket.until(isClosed);
    if (socket.closeCode !== undefined) this.closeCodes.add(socket.closeCode);
    if (one.closes) expect(socket.closeCode).toBe(1007);
    else
      expect(socket.events[before], String(one.message)).toMatchObject({
        type: "error",
        status: 400,
      });
  }

  private async overHttp({ path, body, headers }: Malformed & { over: "http" }): Promise<void> {
    const answer = await fetch(`${server.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: new Uint8Array(body),
    });
    expect(answer.status, String(body)).toBe(400);
    const { error } = (await answer.json()) as { error: { code: string } };
    expect(["invalid_unicode", "invalid_json"]).toContain(error.code);
  }

  close(): void {
    this.socket?.close();
  }
}

it(`${count} malformed strings over HTTP and WebSocket restart no worker and disturb no stream`, async () => {
  const undisturbed = await Promise.all(streams.map((stream) => stream()));
  const before = await identity();
  let isOver = false;
  const beside = streams.map(async (stream, index) => {
    let times = 0;
    do {
      expect(await stream()).toBe(undisturbed[index]);
      times += 1;
    } while (!isOver);
    return times;
  });
  const chance = seeded(seed);
  const sender = new Sender();
  const attack = async () => {
    for (let i = 0; i < count; i += 1) await sender.send(malformed(chance));
  };
  await Promise.all([attack().finally(() => (isOver = true)), ...beside]);
  sender.close();
  expect([...sender.closeCodes].toSorted()).toEqual([1007, 1008]);
  await server.until(isIdle);
  expect(await identity()).toEqual(before);
  expect(server.stderr()).not.toMatch(/"level":(50|60)/);
});

it.each([
  ["a zero", "a\\u0000b"],
  ["noncharacters", "\\ufffe\\uffff\\ufdd0\\udbff\\udfff"],
  ["private and unassigned ones", "\\ue000\\uf8ff\\u0378"],
  ["directions and joiners", "\\u202e\\u200d\\ufeff\\u2066"],
  ["many marks on one letter", `a${"\\u0301".repeat(500)}`],
  ["the character of replacement", "\\ufffd"],
  ["control characters", "\\u001b[2J\\u0007\\u0085\\u2028"],
])("text that is strange and well-formed is served: %s", async (_what, text) => {
  const before = await identity();
  const body = `{"input":"${text}","user":"${text}","max_output_tokens":${strangeTokens}}`;
  const answer = await fetch(`${server.url}/v1/responses`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  expect(answer.status).toBe(200);
  expect(await identity()).toEqual(before);
});
