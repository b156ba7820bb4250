/**
 * A hostile client against the real program, with an honest one beside it. For each attack: its answers,
 * the memory of the server's process, and that the honest client is served all the while.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import WebSocket from "ws";
import { type ServerProcess, startServer } from "../e2e/support/server.js";
import {
  ask,
  eventually,
  type Opened,
  openTo,
  peakDuring,
  type Raw,
  rawTimes,
  rawTo,
  residentBytes,
  statusIn,
  wait,
} from "./support/attack.js";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const honestKey = "key-of-the-honest-client";
const hostileKey = "key-of-the-hostile-client";
const tokensOfHonest = 12;

/**
 * What an attack may add to the resident memory of the server, in bytes: one client's share of bodies,
 * 128 MiB, each at about four times its length while it is read.
 */
const growthBytesMax = 512 * 2 ** 20;

let folder: string;
let server: ServerProcess;
let port: number;
/** Before the first attack, warmed up. */
let calmBytes: number;
const raws: Raw[] = [];
const sockets: Opened[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mlx-serving-attacks-"));
  await writeFile(join(folder, "keys.txt"), `${honestKey}\n${hostileKey}\n`);
  const flags = ["--engine", "fake", "--api-key-file", join(folder, "keys.txt")];
  server = await startServer({ flags: [...flags, "--log-level", "debug"] });
  port = Number(new URL(server.url).port);
  for (let i = 0; i < 20; i += 1) await honest();
  calmBytes = residentBytes(server.pid);
});

afterEach(async () => {
  for (const { socket } of raws.splice(0)) socket.destroy();
  for (const { ws } of sockets.splice(0)) ws.terminate();
  await honest();
  const faults = faultsInLog();
  expect(faults.slice(seenFaults)).toEqual([]);
});

let seenFaults = 0;
beforeEach(() => {
  seenFaults = faultsInLog().length;
});

/** Whatever a client does, it is no fault of the server's. */
function faultsInLog(): string[] {
  const lines = server.stderr().split("\n");
  return lines.filter((line) => /"level":(50|60)/.test(line)).map((line) => line.slice(0, 400));
}

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const post = (path: string, body: string | Uint8Array<ArrayBuffer>, key: string, headers = {}) =>
  fetch(`${server.url}${path}`, {
    method: "POST",
    body,
    headers: { "content-type": "application/json", authorization: `Bearer ${key}`, ...headers },
  });

async function errorOf(answer: Response): Promise<{ code: string; message: string }> {
  return ((await answer.json()) as { error: { code: string; message: string } }).error;
}

/** One whole answer over HTTP and one over WebSocket, exactly as long as asked for. */
async function honest(): Promise<void> {
  const body = { input: "How are you?", max_output_tokens: tokensOfHonest };
  const answer = await post("/v1/responses", JSON.stringify(body), honestKey);
  expect(answer.status).toBe(200);
  expect(((await answer.json()) as { usage: object }).usage).toMatchObject({
    output_tokens: tokensOfHonest,
  });
  const socket = await openTo(server.url, honestKey);
  socket.ws.send(JSON.stringify({ type: "response.create", ...body }));
  await eventually(() => socket.texts.some((text) => text.includes('"response.incomplete"')));
  const numbers = socket.texts.map((text) => JSON.parse(text).sequence_number);
  expect(numbers).toEqual(numbers.map((_, i) => i));
  socket.ws.close();
  await socket.closed;
}

/** The attack, with the honest client asking again and again beside it. */
async function survives(attack: () => Promise<void>): Promise<void> {
  let over = false;
  const beside = async () => {
    do await honest();
    while (!over);
  };
  const peak = await peakDuring(server.pid, async () => {
    const running = attack().finally(() => {
      over = true;
    });
    await Promise.all([running, beside()]);
  });
  expect(peak - calmBytes).toBeLessThan(growthBytesMax);
}

async function connections(count: number): Promise<Raw[]> {
  const made = await rawTimes(server.url, count);
  raws.push(...made);
  return made;
}

async function hostileSocket(query = ""): Promise<Opened> {
  const socket = await openTo(server.url, hostileKey, query);
  sockets.push(socket);
  return socket;
}

const hostLine = () => `Host: 127.0.0.1:${port}\r\n`;
const keyLine = `Authorization: Bearer ${hostileKey}\r\n`;
const upgradeLines =
  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

describe("slowness", () => {
  it("headers that never end, and connections that say nothing, are dropped", async () => {
    await survives(async () => {
      const slow = await connections(200);
      const silent = await connections(50);
      for (const { socket } of slow) socket.write(`GET /health HTTP/1.1\r\n${hostLine()}`);
      const drip = setInterval(() => {
        for (const { socket } of slow) if (socket.writable) socket.write("x-slow: 1\r\n");
      }, 1_000);
      const answers = await Promise.all([...slow, ...silent].map(({ ended }) => ended));
      clearInterval(drip);
      for (const answer of answers.slice(0, slow.length)) expect(statusIn(answer)).toBe(408);
    });
  });

  it("bodies that never end hold up nobody", async () => {
    await survives(async () => {
      const slow = await connections(200);
      const head = `POST /v1/responses HTTP/1.1\r\n${hostLine()}${keyLine}content-type: application/json\r\n`;
      for (const { socket } of slow) socket.write(`${head}content-length: 1000000\r\n\r\n{`);
      for (let i = 0; i < 10; i += 1) {
        await wait(100);
        for (const { socket } of slow) socket.write(" ");
      }
      // The limit that ends them is a minute; tests/ts/server/routes.test.ts has a shorter one.
      expect(slow.every(({ socket }) => !socket.destroyed)).toBe(true);
    });
  });

  it("half-open upgrades hold up nobody", async () => {
    await survives(async () => {
      const half = await connections(1000);
      for (const { socket } of half)
        socket.write(`GET /v1/responses HTTP/1.1\r\n${hostLine()}Upgrade: websocket\r\n`);
      await wait(500);
    });
  });

  it("readers that never read cost a cursor, not memory", async () => {
    await survives(async () => {
      const create = (i: number) =>
        JSON.stringify({
          type: "response.create",
          stream_id: `lane-${i}`,
          input: `${i}`,
          max_output_tokens: 2000,
          store: false,
        });
      const socket = await hostileSocket();
      (socket.ws as unknown as { _socket: { pause(): void } })._socket.pause();
      for (let i = 0; i < 64; i += 1) socket.ws.send(create(i));
      const body = JSON.stringify({ input: "long", max_output_tokens: 2000, stream: true });
      const streams = await connections(40);
      for (const { socket } of streams) {
        socket.pause();
        socket.write(
          `POST /v1/responses HTTP/1.1\r\n${hostLine()}${keyLine}content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
        );
      }
      await wait(3_000);
    });
  });
});

describe("floods", () => {
  it("of headers end with 431", async () => {
    await survives(async () => {
      const flood = `GET /health HTTP/1.1\r\n${hostLine()}${`x-${"y".repeat(60)}: z\r\n`.repeat(5_000)}\r\n`;
      const answers = await Promise.all(Array.from({ length: 50 }, () => ask(server.url, flood)));
      // A reset may overtake the answer, since most of the flood is never read.
      for (const answer of answers) expect([431, 0]).toContain(statusIn(answer));
      expect(answers.some((answer) => statusIn(answer) === 431)).toBe(true);
    });
  });

  it("of pipelined requests are answered, or not read any further", async () => {
    await survives(async () => {
      const one = `GET /v1/models HTTP/1.1\r\n${hostLine()}${keyLine}\r\n`;
      const [reader, ...deaf] = await connections(4);
      let answers = "";
      reader!.socket.on("data", (chunk) => {
        answers += chunk.toString("latin1");
      });
      reader!.socket.write(one.repeat(1_000));
      for (const { socket } of deaf) {
        socket.pause();
        socket.write(one.repeat(5_000));
      }
      await eventually(() => answers.split("HTTP/1.1 200").length === 1_001);
    });
  });

  it("of pings are closed with 1008", async () => {
    await survives(async () => {
      const { ws, closed } = await hostileSocket();
      for (let i = 0; i < 5_000; i += 1) ws.ping();
      expect(await closed).toBe(1008);
    });
  });

  it("of fragments are closed with 1008, whatever they hold", async () => {
    await survives(async () => {
      for (const piece of ["", "x"]) {
        const { ws, closed } = await hostileSocket();
        for (let i = 0; i < 3_000; i += 1) ws.send(piece, { fin: false });
        expect(await closed).toBe(1008);
      }
    });
  });

  it("of bad messages are closed with 1008", async () => {
    await survives(async () => {
      const { ws, closed, texts } = await hostileSocket();
      for (let i = 0; i < 500; i += 1) ws.send("nonsense");
      expect(await closed).toBe(1008);
      expect(texts.length).toBeLessThanOrEqual(16);
    });
  });

  it("of sockets opened and dropped leave nothing behind", async () => {
    await survives(async () => {
      for (let round = 0; round < 10; round += 1) {
        const made = await rawTimes(server.url, 50);
        const request = `GET /v1/responses HTTP/1.1\r\n${hostLine()}${keyLine}${upgradeLines}\r\n`;
        for (const { socket } of made) socket.write(request);
        await wait(20);
        for (const { socket } of made) socket.resetAndDestroy();
      }
    });
    const metrics = await fetch(`${server.url}/metrics`, {
      headers: { authorization: `Bearer ${honestKey}` },
    });
    expect(await metrics.text()).toMatch(/^mlx_serving:websocket\S* 0$/m);
  });

  it("of tickets end at the limit of their key, and leave those of others alone", async () => {
    await survives(async () => {
      const statuses: number[] = [];
      for (let i = 0; i < 300; i += 1)
        statuses.push((await post("/v1/ws-tickets", "{}", hostileKey)).status);
      expect(statuses.filter((status) => status === 200)).toHaveLength(64);
      expect(statuses.filter((status) => status === 429)).toHaveLength(236);
      const refused = await post("/v1/ws-tickets", "{}", hostileKey);
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
      expect((await post("/v1/ws-tickets", "{}", honestKey)).status).toBe(200);
    });
  });

  it("of wrong keys and tickets are 401, and none is in the log", async () => {
    await survives(async () => {
      const guess = "guess-of-a-key";
      for (let i = 0; i < 500; i += 1) {
        const answer = await post("/v1/responses", "{}", `${guess}-${i}`);
        expect(answer.status).toBe(401);
        await answer.arrayBuffer();
      }
      for (let i = 0; i < 100; i += 1) {
        const target = `GET /v1/responses?ticket=${guess}-${i} HTTP/1.1\r\n`;
        expect(statusIn(await ask(server.url, `${target}${hostLine()}${upgradeLines}\r\n`))).toBe(
          401,
        );
      }
    });
    for (const secret of ["guess-of-a-key", honestKey, hostileKey])
      expect(server.stderr().includes(secret), secret).toBe(false);
  });

  it("of idempotency keys are bounded, and one key is one response", async () => {
    await survives(async () => {
      const body = JSON.stringify({ input: "x", max_output_tokens: 1 });
      const ids = new Set<string>();
      for (let i = 0; i < 600; i += 1) {
        const key = { "idempotency-key": i % 2 === 0 ? "same" : `key-${i}` };
        const answer = await post("/v1/responses", body, hostileKey, key);
        expect(answer.status).toBe(200);
        if (i % 2 === 0) ids.add(((await answer.json()) as { id: string }).id);
      }
      expect(ids.size).toBe(1);
      const other = JSON.stringify({ input: "y", max_output_tokens: 1 });
      const conflict = await post("/v1/responses", other, hostileKey, {
        "idempotency-key": "same",
      });
      expect([conflict.status, conflict.headers.get("x-should-retry")]).toEqual([409, "false"]);
    });
  });
});

describe("size and shape", () => {
  it("frames that are too big, or say so, are closed with 1009", async () => {
    await survives(async () => {
      for (let i = 0; i < 5; i += 1) {
        const { ws, closed } = await hostileSocket();
        ws.send("x".repeat(33 * 2 ** 20));
        expect(await closed).toBe(1009);
      }
      // A header alone, of 2^40 bytes: nothing is set aside for what has not come.
      const { ws, closed } = await hostileSocket();
      const header = Buffer.from([0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
      (ws as unknown as { _socket: { write(data: Buffer): void } })._socket.write(header);
      expect(await closed).toBe(1009);
    });
  });

  it("bodies that are too big are 413 as soon as that is known", async () => {
    await survives(async () => {
      const head = `POST /v1/responses HTTP/1.1\r\n${hostLine()}${keyLine}content-type: application/json\r\n`;
      // The connection stays: what still comes is dropped, so that the answer is not reset away.
      const first = async (text: string) => {
        const raw = await rawTo(server.url);
        raws.push(raw);
        const answered = new Promise<string>((resolve) =>
          raw.socket.once("data", (data) => resolve(String(data))),
        );
        raw.socket.write(text);
        return Promise.race([answered, raw.ended]);
      };
      const said = await first(`${head}content-length: 1000000000000\r\n\r\n{`);
      expect(statusIn(said)).toBe(413);
      const body = `100000\r\n${"x".repeat(0x10_0000)}\r\n`.repeat(34);
      const answers = await Promise.all(
        Array.from({ length: 3 }, () => first(`${head}transfer-encoding: chunked\r\n\r\n${body}`)),
      );
      for (const answer of answers) expect([413, 429]).toContain(statusIn(answer));
      expect(answers.some((answer) => statusIn(answer) === 413)).toBe(true);
    });
  });

  const bombs: Record<string, string> = {
    deep: "[".repeat(1_000_000),
    "deep and whole": `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`,
    wide: `[${"0,".repeat(1_000_000)}0]`,
    "wide with names": `{${Array.from({ length: 100_000 }, (_, i) => `"k${i}":0`).join()}}`,
    "long number": `{"input":"x","seed":${"9".repeat(1_000_000)}}`,
  };

  it.each(Object.entries(bombs))(
    "JSON that is %s is refused, over HTTP and WebSocket",
    async (_name, text) => {
      await survives(async () => {
        for (let i = 0; i < 5; i += 1)
          expect((await post("/v1/responses", text, hostileKey)).status).toBe(400);
        const { ws, texts } = await hostileSocket();
        for (let i = 0; i < 5; i += 1) ws.send(text);
        await eventually(() => texts.length === 5);
        for (const one of texts)
          expect(JSON.parse(one)).toMatchObject({ type: "error", status: 400 });
      });
    },
  );

  it("text that is no UTF-8 is refused", async () => {
    await survives(async () => {
      const body = Uint8Array.from([0x7b, 0x22, 0xff, 0xc0, 0xaf, 0x22, 0x7d]);
      expect(await errorOf(await post("/v1/responses", body, hostileKey))).toMatchObject({
        code: "invalid_json",
      });
      const { ws, closed } = await hostileSocket();
      ws.send(body, { binary: false });
      expect(await closed).toBe(1007);
    });
  });

  it("unknown types and poisoned names are errors, and poison nobody", async () => {
    await survives(async () => {
      const { ws, texts } = await hostileSocket();
      const messages = [
        '{"type":"response.destroy"}',
        '{"type":"__proto__"}',
        '{"type":["response.create"],"input":"x"}',
        '{"type":"response.create","input":"x","__proto__":{"store":false}}',
        '{"type":"response.create","constructor":{"prototype":{"polluted":1}}}',
        '{"type":"response.create","input":"x","metadata":{"__proto__":{"a":"b"}}}',
        "null",
        "[]",
        "0",
      ];
      for (const message of messages) ws.send(message);
      await eventually(() => texts.length === messages.length);
      for (const one of texts)
        expect(JSON.parse(one)).toMatchObject({ type: "error", status: 400 });
    });
  });
});

describe("forgeries", () => {
  const get = (lines: string, target = "/v1/models") =>
    ask(server.url, `GET ${target} HTTP/1.1\r\n${lines}${keyLine}Connection: close\r\n\r\n`);
  const upgrade = (lines: string) =>
    ask(server.url, `GET /v1/responses HTTP/1.1\r\n${lines}${keyLine}${upgradeLines}\r\n`);

  it("of Host are 403, for requests and upgrades", async () => {
    const hosts = [
      "evil.example",
      `evil.example:${port}`,
      `localhost.:${port}`,
      `127.0.0.1.:${port}`,
      `127.0.0.1.evil.example:${port}`,
      `evil.example@127.0.0.1:${port}`,
      `127.0.0.1:${port}@evil.example`,
      `127.1:${port}`,
      `0x7f000001:${port}`,
      `2130706433:${port}`,
      `0.0.0.0:${port}`,
      `[::ffff:127.0.0.1]:${port}`,
      `127.0.0.1:${port + 1}`,
      `127.0.0.1:0${port}`,
      "127.0.0.1",
      "localhost",
      "",
    ];
    for (const host of hosts) {
      expect(statusIn(await get(`Host: ${host}\r\n`)), host).toBe(403);
      expect(statusIn(await upgrade(`Host: ${host}\r\n`)), host).toBe(403);
    }
    expect(statusIn(await get(`Host: LOCALHOST:${port}\r\n`))).toBe(200);
  });

  it("of more or fewer Hosts than one are refused", async () => {
    expect(statusIn(await get(""))).toBe(400);
    expect(statusIn(await get(`${hostLine()}Host: evil.example\r\n`))).toBeGreaterThanOrEqual(400);
    const old = await ask(server.url, `GET /v1/models HTTP/1.0\r\n${keyLine}\r\n`);
    expect(statusIn(old)).toBe(403);
    const forwarded = `Host: evil.example\r\nX-Forwarded-Host: 127.0.0.1:${port}\r\n`;
    expect(statusIn(await get(forwarded))).toBe(403);
  });

  it("of Origin are 403, for requests and upgrades", async () => {
    const origins = [
      "null",
      "NULL",
      "",
      "https://evil.example",
      `http://evil.example:${port}`,
      `http://127.0.0.1.:${port}`,
      `http://localhost.:${port}`,
      `http://localhost.evil.example:${port}`,
      `http://evil.localhost:${port}`,
      "http://127.0.0.2",
      "http://127.1",
      "http://2130706433",
      "http://[::ffff:127.0.0.1]",
      "http://0.0.0.0",
      "http://localhost:123456",
      "http://evil.example@localhost",
      "http://localhost@evil.example",
      "http://localhost, https://evil.example",
      "chrome-extension://localhost",
      `http://127.0.0.1:${port}.evil.example`,
      `http://127.0.0.1:${port}/`,
      `ws://127.0.0.1:${port}`,
      "file://",
    ];
    for (const origin of origins) {
      const lines = `${hostLine()}Origin: ${origin}\r\n`;
      expect(statusIn(await get(lines)), origin).toBe(403);
      expect(statusIn(await upgrade(lines)), origin).toBe(403);
    }
    for (const own of [`HTTP://127.0.0.1:${port}`, "http://localhost:3000", "https://[::1]"])
      expect(statusIn(await get(`${hostLine()}Origin: ${own}\r\n`)), own).toBe(200);
    // A page of this machine's, told that a name of another's is ours.
    const rebound = `Host: evil.example:${port}\r\nOrigin: http://localhost:3000\r\n`;
    expect(statusIn(await get(rebound))).toBe(403);
  });

  const ids = [
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "/etc/passwd",
    "smollm2-135m-instruct/../../..",
    "smollm2-135m-instruct%00.bin",
    "file:///etc/passwd",
    "~/.ssh/id_rsa",
    "__proto__",
    "constructor",
    "a".repeat(512),
  ];

  it.each(ids)("of model ids are 404, whatever they look like: %s", async (id) => {
    const body = { model: decodeURIComponent(id), input: "x", max_output_tokens: 1 };
    const answer = await post("/v1/responses", JSON.stringify(body), hostileKey);
    expect(answer.status).toBe(404);
    expect((await errorOf(answer)).code).toBe("model_not_found");
    const raw = await get(hostLine(), `/v1/models/${id}`);
    expect(statusIn(raw)).toBe(404);
    expect(raw).not.toContain("root:");
  });

  it("of paths lead nowhere", async () => {
    const lost = async (target: string) => statusIn(await get(hostLine(), target));
    for (const target of ["/../etc/passwd", "//evil.example/v1/models", "/v1/models/%", "/%00"])
      expect([400, 404], target).toContain(await lost(target));
  });

  it("of paths lead no socket anywhere either", async () => {
    const lines = `${hostLine()}${keyLine}${upgradeLines}\r\n`;
    for (const target of ["//", "/v1/../v1/responses", "/%", "http://[", "/v1/responses/x", "?"]) {
      const answer = await ask(server.url, `GET ${target} HTTP/1.1\r\n${lines}`);
      expect([400, 404], target).toContain(statusIn(answer));
    }
  });

  it("of an upgrade to another protocol, path or version are refused", async () => {
    const base = `GET /v1/responses HTTP/1.1\r\n${hostLine()}${keyLine}Connection: close, Upgrade\r\n`;
    for (const lines of [
      "Upgrade: h2c\r\n",
      "Upgrade: websocket\r\n",
      "Upgrade: websocket\r\nSec-WebSocket-Version: 99\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n",
    ]) {
      const status = statusIn(await ask(server.url, `${base}${lines}\r\n`));
      expect(status, lines).toBeGreaterThanOrEqual(400);
      expect(status, lines).toBeLessThan(500);
    }
  });
});

it("gives no socket to a page of another site, even with a ticket", async () => {
  const answer = await post("/v1/ws-tickets", "{}", honestKey);
  const { ticket } = (await answer.json()) as { ticket: string };
  const target = `${server.url.replace("http", "ws")}/v1/responses?ticket=${ticket}`;
  const ws = new WebSocket(target, { origin: "https://evil.example" });
  const status = await new Promise((resolve) => {
    ws.once("unexpected-response", (_request, response) => resolve(response.statusCode));
    ws.once("open", () => resolve(101));
    ws.on("error", () => {});
  });
  expect(status).toBe(403);
});
