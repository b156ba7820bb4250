/** Stored responses and the death of the server itself: `--data-dir` from outside. */
import { execFileSync } from "node:child_process";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { WebSocket } from "ws";
import {
  type Client,
  connect,
  outputText,
  type ResponseStream,
  type ResponseStreamEvent,
} from "../../src-ts/client/index.js";
import { type ServerProcess, startServer } from "../e2e/support/server.js";
import {
  dataFolder,
  expectWhole,
  getResponse,
  modeOf,
  parsed,
  post,
  replay,
  seeded,
  steadyPort,
} from "./support/stored.js";

vi.setConfig({ testTimeout: 180_000 });

const streams = 16;
const rounds = 12;
const tokens = 60;
/** A round's streams run for about 300 ms at this speed. */
const flags = ["--engine", "fake", "--fake-tokens-per-second", "200"];
const slowFlags = ["--engine", "fake", "--fake-tokens-per-second", "20"];
const seed = Number(process.env.E2E_SEED ?? 1);

const bodyOf = (i: number) => ({ input: `Story ${i}`, max_output_tokens: tokens });
const ask = (client: Client) =>
  Array.from({ length: streams }, (_, i) => client.respond(bodyOf(i)));

/** Every event of a stream, and what it ended with. */
async function record(stream: ResponseStream) {
  const events: ResponseStreamEvent[] = [];
  for await (const event of stream) events.push(event);
  const { text, usage, response } = await stream.final();
  return { id: response.id, events, end: { text, usage, status: response.status } };
}

async function kill(server: ServerProcess): Promise<void> {
  server.signal("SIGKILL");
  await server.exited;
}

describe(`SIGKILL of the server at ${rounds} random moments (seed ${seed})`, () => {
  it("loses no event of 16 stored streams and changes no text", async () => {
    using folder = dataFolder();
    const chance = seeded(seed);
    const start = ["--data-dir", folder.path, "--port", await steadyPort()];
    const startAgain = () => startServer({ flags: [...flags, ...start] });
    let server = await startAgain();
    await using client = await connect(server.url);
    const undisturbed = await Promise.all(ask(client).map(record));

    const all = [...undisturbed];
    for (let round = 0; round < rounds; round++) {
      const running = Promise.all(ask(client).map(record));
      await sleep(chance() * 350);
      await kill(server);
      server = await startAgain();
      const ends = await running;
      expect(ends.map(({ end }) => end)).toEqual(undisturbed.map(({ end }) => end));
      for (const { events, id } of ends) expectWhole(events, `round ${round}, ${id}`);
      all.push(...ends);
    }

    await kill(server);
    await using last = await startAgain();
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
    for (const { id, end } of all) {
      const whole = await replay(last.url, id);
      expectWhole(parsed(whole), id);
      const response = await getResponse(last.url, id);
      expect(outputText(response)).toBe(end.text);
      const after = Math.floor(chance() * whole.length) - 1;
      expect(await replay(last.url, id, after), `${id} after ${after}`).toEqual(
        whole.slice(after + 1),
      );
    }
  });
});

describe("after a restart", () => {
  it("an idempotency key attaches to the response of before", async () => {
    using folder = dataFolder();
    const all = [...flags, "--data-dir", folder.path];
    const penalties = { presence_penalty: 0.5, frequency_penalty: 0 };
    const body = { input: "Once", max_output_tokens: 40, ...penalties };
    const key = { "idempotency-key": "the-same" };
    await using first = await startServer({ flags: all });
    const before = await (await post(`${first.url}/v1/responses`, body, key)).json();
    expect(before).toMatchObject(penalties);
    await kill(first);

    await using second = await startServer({ flags: all });
    const again = await post(`${second.url}/v1/responses`, body, key);
    expect(await again.json()).toEqual(before);
    const other = await post(`${second.url}/v1/responses`, { ...body, input: "Twice" }, key);
    expect(other.status).toBe(409);
  });

  it("what runs goes on, and an unfinished key attaches to it", async () => {
    using folder = dataFolder();
    const all = [...flags, "--data-dir", folder.path];
    const body = { input: "Long", max_output_tokens: 200, stream: true };
    const key = { "idempotency-key": "unfinished" };
    await using first = await startServer({ flags: all });
    const answer = await post(`${first.url}/v1/responses`, body, key);
    const reader = answer.body!.getReader();
    const chunk = new TextDecoder().decode((await reader.read()).value);
    const id = /"id":"(resp_[^"]+)"/.exec(chunk)![1]!;
    await kill(first);
    await reader.cancel().catch(() => {});

    await using second = await startServer({ flags: all });
    const attached = await post(`${second.url}/v1/responses`, { ...body, stream: false }, key);
    const end = await attached.json();
    expect(end).toMatchObject({ id, status: "incomplete", usage: { output_tokens: 200 } });
  });
});

describe("a response in the background", () => {
  const background = { background: true, max_output_tokens: 100 };
  const accept = async (url: string, input: string) => {
    const answer = await post(`${url}/v1/responses`, { ...background, input });
    const response = (await answer.json()) as { id: string; status: string };
    expect(response).toMatchObject({ status: "queued", background: true });
    return response.id;
  };

  it("that nobody reads goes on after the server's death, and says what it is", async () => {
    using folder = dataFolder();
    const all = [...slowFlags, "--data-dir", folder.path];
    await using first = await startServer({ flags: all });
    const id = await accept(first.url, "Alone");
    const running = await (async () => {
      while ((await getResponse(first.url, id)).status === "queued") await sleep(10);
      return getResponse(first.url, id);
    })();
    expect(running).toMatchObject({ status: "in_progress", background: true });
    await kill(first);

    await using second = await startServer({ flags: [...flags, "--data-dir", folder.path] });
    const whole = await replay(second.url, id);
    expectWhole(parsed(whole), id);
    for (const event of parsed(whole))
      if ("response" in event) expect(event.response.background).toBe(true);
    expect(await getResponse(second.url, id)).toMatchObject({
      status: "incomplete",
      background: true,
      usage: { output_tokens: 100 },
    });
  });

  it("is cancelled after a restart as before it", async () => {
    using folder = dataFolder();
    const all = [...slowFlags, "--data-dir", folder.path];
    await using first = await startServer({ flags: all });
    const id = await accept(first.url, "Stopped");
    await kill(first);

    await using second = await startServer({ flags: all });
    const cancelled = await post(`${second.url}/v1/responses/${id}/cancel`, {});
    expect(await cancelled.json()).toMatchObject({ id, status: "cancelled", background: true });
  });
});

describe("the folder", () => {
  it("in use by another server is exit 2 with one sentence", async () => {
    using folder = dataFolder();
    const all = [...flags, "--data-dir", folder.path];
    await using server = await startServer({ flags: all });
    const sentence = `mlx-serving: --data-dir ${folder.path} can't be used: in use by process ${server.pid} on `;
    await expect(startServer({ flags: [...all, "--log-level", "silent"] })).rejects.toThrow(
      new RegExp(`ended with 2 before it was ready:\\n${sentence}\\S+\\.\\n$`),
    );
    expect((await fetch(`${server.url}/ready`)).status).toBe(200);
  });

  it("is its owner's alone, and holds nothing of what was not to be stored", async () => {
    using folder = dataFolder();
    await using server = await startServer({ flags: [...flags, "--data-dir", folder.path] });
    const bodyWith = (marker: string, store: boolean) => ({
      input: `${marker} input`,
      instructions: `${marker} instructions`,
      metadata: { marker },
      max_output_tokens: 20,
      store,
    });
    const run = async (marker: string, store: boolean) => {
      const answer = await post(`${server.url}/v1/responses`, bodyWith(marker, store));
      return (await answer.json()).id as string;
    };
    const storedId = await run("keepsake", true);
    const unstoredId = await run("fleeting", false);
    await kill(server);
    const bytes = folder.bytes();
    for (const trace of ["keepsake instructions", storedId, inTokens("keepsake input")])
      expect(bytes.includes(trace), String(trace)).toBe(true);
    for (const trace of ["fleeting", unstoredId, inTokens("fleeting input")])
      expect(bytes.includes(trace), String(trace)).toBe(false);
    const modes = Object.fromEntries(folder.files().map((file) => [file, modeOf(file)]));
    expect(modes).toEqual(Object.fromEntries(folder.files().map((file) => [file, 0o600])));
  });
});

/** As the fake engine's tokens, one a byte, stand in the journal. */
function inTokens(text: string): Buffer {
  return Buffer.concat([...Buffer.from(text)].map((byte) => Buffer.from([byte, 0, 0, 0])));
}

describe("damage between two starts", () => {
  it("a torn end: the last response goes on from what is left, the others are whole", async () => {
    using folder = dataFolder();
    const all = [...flags, "--data-dir", folder.path];
    const { ids, ends } = await threeStored(all);
    const file = folder.segments().at(-1)!;
    truncateSync(file, readFileSync(file).length - 150);

    await using server = await startServer({ flags: all });
    expect(server.stderr()).toMatch(/the journal is damaged/);
    for (const [i, id] of ids.entries()) {
      const events = parsed(await replay(server.url, id));
      expectWhole(events, id);
      expect(await endOf(server, id)).toEqual(ends[i]);
    }
  });

  it("a flipped bit: one response is lost or cut back, the others are whole", async () => {
    using folder = dataFolder();
    const all = [...flags, "--data-dir", folder.path];
    const { ids, ends } = await threeStored(all);
    const file = folder.segments().at(-1)!;
    const bytes = readFileSync(file);
    const at = bytes.indexOf("marker 1");
    bytes[at] = bytes[at]! ^ 0x10;
    writeFileSync(file, bytes);

    await using server = await startServer({ flags: all });
    expect(server.stderr()).toMatch(/the journal is damaged/);
    expect((await fetch(`${server.url}/v1/responses/${ids[1]}`)).status).toBe(404);
    for (const i of [0, 2]) expect(await endOf(server, ids[i]!)).toEqual(ends[i]);
  });

  /** One after another, so that no frame holds two of them. */
  async function threeStored(all: string[]) {
    await using server = await startServer({ flags: all });
    const ids: string[] = [];
    for (const i of [0, 1, 2]) {
      const metadata = { at: `marker ${i}` };
      const answer = await post(`${server.url}/v1/responses`, { ...bodyOf(i), metadata });
      ids.push((await answer.json()).id);
    }
    const ends = [];
    for (const id of ids) ends.push(await endOf(server, id));
    await kill(server);
    return { ids, ends };
  }

  async function endOf({ url }: ServerProcess, id: string) {
    const response = await getResponse(url, id);
    return { text: outputText(response), usage: response.usage, status: response.status };
  }
});

/**
 * A full disk without root rights: a limit on the size of a file (RLIMIT_FSIZE) makes every write past
 * it fail with EFBIG. The journal's first segment reaches it. `prlimit` of Linux makes room again.
 */
describe("a journal that can't be written", () => {
  it("turns new stored requests away at once, serves the others, and recovers", async () => {
    using folder = dataFolder();
    // 64 blocks are 32 or 64 KiB, as the shell counts them.
    const before = "ulimit -S -f 64";
    await using server = await startServer({
      flags: [...flags, "--data-dir", folder.path],
      before,
    });
    const ask = (store: boolean) =>
      post(`${server.url}/v1/responses`, {
        input: "x".repeat(1000),
        max_output_tokens: 1,
        metadata: { filler: "y".repeat(500) },
        store,
      });
    const stored: string[] = [];
    let refused = await ask(true);
    for (; refused.ok && stored.length < 100; refused = await ask(true))
      stored.push((await refused.json()).id);
    expect(stored.length).toBeGreaterThan(0);

    for (let i = 0; i < 5; i++) {
      expect(refused.status).toBe(503);
      expect(refused.headers.get("retry-after")).toMatch(/^\d+$/);
      expect(await refused.json()).toMatchObject({ error: { code: "storage_unavailable" } });
      expect((await ask(false)).status).toBe(200);
      refused = await ask(true);
    }
    expect(server.stderr()).toMatch(/EFBIG/);
    if (process.platform === "linux") await expectRecovery(server, () => ask(true));

    await kill(server);
    await using next = await startServer({ flags: [...flags, "--data-dir", folder.path] });
    for (const id of stored) expect((await getResponse(next.url, id)).status).toBe("incomplete");
  });
});

async function expectRecovery({ pid }: ServerProcess, ask: () => Promise<Response>) {
  execFileSync("prlimit", [`--pid=${pid}`, "--fsize=unlimited"]);
  await vi.waitUntil(async () => (await ask()).status === 200, { timeout: 10_000 });
}

describe("a drain that runs out of time", () => {
  it("closes with 1012 and no terminal event for what is stored, fails the rest, exits with 0", async () => {
    using folder = dataFolder();
    const all = [...slowFlags, "--data-dir", folder.path, "--drain-timeout", "200ms"];
    await using first = await startServer({ flags: all });
    const ws = new WebSocket(`${first.url.replace("http", "ws")}/v1/responses`);
    const events: ResponseStreamEvent[] = [];
    ws.on("message", (data) => events.push(JSON.parse(String(data))));
    const closed = new Promise<number>((resolve) => ws.on("close", resolve));
    await new Promise((resolve) => ws.on("open", resolve));
    for (const store of [true, false]) {
      const body = { input: `store: ${store}`, max_output_tokens: 30, store };
      ws.send(JSON.stringify({ type: "response.create", stream_id: `${store}`, ...body }));
    }
    await first.until(({ decoding }) => decoding === 2);
    first.signal("SIGTERM");
    expect(await closed).toBe(1012);
    expect(await first.exited).toEqual({ code: 0, signal: null });

    const ofLane = (lane: string) =>
      events.filter((event) => (event as { stream_id?: string }).stream_id === lane);
    const stored = ofLane("true");
    expect(stored.map(({ type }) => type)).toContain("response.output_text.delta");
    expect(stored.some(({ type }) => /completed|incomplete|failed|error/.test(type))).toBe(false);
    expectWhole(ofLane("false"), "unstored");
    expect(ofLane("false").at(-1)).toMatchObject({
      type: "response.failed",
      response: { error: { code: "server_shutdown" } },
    });

    await using second = await startServer({ flags: all });
    const { id } = (stored[0] as { response: { id: string } }).response;
    const whole = parsed(await replay(second.url, id));
    expectWhole(whole, id);
    const seen = stored.map((event) => ({ ...event, stream_id: undefined }));
    expect(whole.slice(0, seen.length)).toEqual(seen);
    expect(whole.at(-1)).toMatchObject({ type: "response.incomplete" });
  });
});
