/**
 * Random and mutated messages on a real socket: each gets an event or an `error`, none closes the socket,
 * none is a fault in the log, and a stream beside them is untouched. A failure prints its seed.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { ClientMessage } from "../../../../src-ts/protocol/index.js";
import { parseJson } from "../../../../src-ts/server/json/read.js";
import { hold, say } from "../../support/scripted-engine.js";
import { rawConnection, startServer, type TestServer } from "../../support/test-server.js";
import {
  type AnyEvent,
  isTerminal,
  openSocket,
  type TestSocket,
} from "../../support/test-socket.js";

const honestInput = "of the honest stream";
const runs = 250;

/** A server that answers at once, but for the honest stream, which the test feeds. */
async function start(): Promise<TestServer & { beside: HonestStream }> {
  // Policy would close a socket that is wrong so often; here every message has to be answered.
  const server = await startServer({ limits: { badMessagesMax: 1_000_000 } });
  server.engine.script = (run) =>
    JSON.stringify(run.submission.input).includes(honestInput) ? hold(run) : say(["a", "b"])(run);
  const socket = await openSocket(server.url);
  socket.create({ input: honestInput });
  await socket.type("response.in_progress");
  return { ...server, beside: new HonestStream(server, socket) };
}

class HonestStream {
  private sent = "";
  private readonly run;

  constructor(
    server: TestServer,
    private readonly socket: TestSocket,
  ) {
    this.run = server.engine.runs[0]!;
  }

  step(): void {
    this.run.emit("x");
    this.sent += "x";
  }

  async check(): Promise<void> {
    this.run.end({ kind: "stop" });
    const { response } = await this.socket.ended();
    expect(response.output[0].content[0].text).toBe(this.sent);
    const numbers = this.socket.events.map(({ sequence_number }) => sequence_number);
    expect(numbers).toEqual(numbers.map((_, i) => i));
  }
}

// Messages

const streamId = fc.option(fc.constantFrom("a", "b", "", "bad lane", "x".repeat(257)), {
  nil: undefined,
});
const input = fc.oneof(
  fc.string(),
  fc.array(fc.record({ role: fc.constantFrom("user", "system", "tool"), content: fc.string() }), {
    maxLength: 3,
  }),
);
const create = fc.record(
  {
    type: fc.constant("response.create"),
    input,
    stream_id: streamId,
    event_id: fc.string(),
    temperature: fc.double(),
    max_output_tokens: fc.integer(),
    stop: fc.oneof(fc.string(), fc.array(fc.string())),
    metadata: fc.dictionary(fc.string(), fc.string(), { maxKeys: 20 }),
    store: fc.boolean(),
    "mlx_serving:deadline_ms": fc.integer(),
  },
  { requiredKeys: ["type", "input"] },
);
const other = fc.record(
  {
    type: fc.constantFrom("response.cancel", "mlx_serving:response.resume"),
    response_id: fc.constantFrom("resp_none", "", "x".repeat(600)),
    starting_after: fc.oneof(fc.integer(), fc.double()),
    event_id: fc.string(),
  },
  { requiredKeys: ["type", "response_id"] },
);

type Json = Record<string, unknown>;

/** One field away, renamed, added, or something else. */
const mutated = fc
  .tuple(fc.oneof(create, other), fc.nat(), fc.jsonValue({ maxDepth: 4 }), fc.string(), fc.nat(3))
  .map(([message, pick, value, name, how]): unknown => {
    const copy: Json = { ...message };
    const names = Object.keys(copy);
    const chosen = names[pick % names.length]!;
    if (how === 0) delete copy[chosen];
    else if (how === 1) copy[chosen] = value;
    else if (how === 2) Object.defineProperty(copy, name, { value, enumerable: true });
    else return [copy];
    return copy;
  });

/** A valid text with one piece cut out and another put in. */
const damaged = fc
  .tuple(create, fc.nat(), fc.nat(10), fc.string({ unit: "grapheme", maxLength: 5 }))
  .map(([message, at, length, piece]) => {
    const text = JSON.stringify(message);
    const start = at % text.length;
    return text.slice(0, start) + piece + text.slice(start + length);
  });

const asText = (value: unknown) => JSON.stringify(value) ?? "undefined";
const message = fc.oneof(
  { weight: 4, arbitrary: mutated.map(asText) },
  { weight: 2, arbitrary: create.map(asText) },
  { weight: 1, arbitrary: other.map(asText) },
  { weight: 2, arbitrary: damaged },
  { weight: 1, arbitrary: fc.jsonValue().map(asText) },
  { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
  { weight: 1, arbitrary: fc.uint8Array().map((bytes) => Buffer.from(bytes)) },
);

/** By the schema alone: what kind of answer it has to get. */
function expectedOf(sent: string | Buffer): "error" | "response" {
  if (typeof sent !== "string") return "error";
  try {
    const json = parseJson(Buffer.from(sent), { depthMax: 64, valuesMax: 32_768 });
    const parsed = ClientMessage.safeParse(json);
    if (!parsed.success) return "error";
    // The others name no response that there is.
    return parsed.data.type === "response.create" ? "response" : "error";
  } catch {
    return "error";
  }
}

let barriers = 0;

/** Everything that was answered at once has been when the error about this message is here. */
async function barrier(socket: TestSocket): Promise<void> {
  const event_id = `barrier-${barriers++}`;
  socket.send({ type: "barrier", event_id });
  await socket.until((event) => event.event_id === event_id);
}

async function check(socket: TestSocket, sent: string | Buffer): Promise<void> {
  socket.events.length = 0;
  socket.ws.send(sent);
  await barrier(socket);
  const errors = socket.events.filter(({ type }) => type === "error").length - 1;
  const expected = expectedOf(sent);
  if (expected === "error") expect(errors, String(sent)).toBe(1);
  else await socket.until((event) => isTerminal(event) || isRefusal(event));
}

const isRefusal = (event: AnyEvent) =>
  event.type === "error" && !event.event_id?.startsWith("barrier-");

it("answers every message, whatever it is", async () => {
  const { url, faults, beside } = await start();
  const socket = await openSocket(url);
  await fc.assert(
    fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 4 }), async (sent) => {
      beside.step();
      for (const one of sent) await check(socket, one);
      expect(socket.close).toBeUndefined();
    }),
    { numRuns: runs },
  );
  await beside.check();
  expect(faults).toEqual([]);
});

const handshake = (port: number) =>
  `GET /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;

it("survives bytes that are no frames, and frames that are none", async () => {
  const { port, faults, beside, get } = await start();
  const header = fc
    .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 255 }), fc.uint8Array())
    .map(([first, second, rest]) => Buffer.from([first, second, ...rest]));
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.uint8Array().map(Buffer.from), header), async (bytes) => {
      beside.step();
      const { socket, ended } = await rawConnection(port);
      socket.write(handshake(port));
      await new Promise((resolve) => socket.once("data", resolve));
      socket.end(bytes);
      expect(await ended).toContain("101 Switching Protocols");
    }),
    { numRuns: runs },
  );
  await beside.check();
  expect((await get("/health")).status).toBe(200);
  expect(faults).toEqual([]);
});
