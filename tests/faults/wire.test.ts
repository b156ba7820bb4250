/** Connections that break anywhere: no event of a response is lost or doubled, and none is made twice. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Client, type ConnectOptions, connect } from "../../src-ts/client/index.js";
import { isIdle, type ServerProcess, startServer } from "../e2e/support/server.js";
import {
  type ChaosProxy,
  type ConnectionPlan,
  type Disturbance,
  startChaosProxy,
} from "../support/chaos-proxy.js";
import { ask, dataOf, RawSocket, wholeEvents } from "../support/raw-responses.js";
import { logOf, type Outcome, range, read, seen } from "../support/reading.js";

vi.setConfig({ testTimeout: 180_000, hookTimeout: 60_000 });

const body = { input: "Hi", max_output_tokens: 12 };
/** From the server at least, however many tokens come at once. */
const bytesMin = 4000;
/** Clients at once. */
const parallel = 16;

let server: ServerProcess;
let undisturbed: Outcome;
/** Bytes of the upgrade and of the whole exchange after it. */
let handshake: { toClient: number; toServer: number };
let whole: { toClient: number; toServer: number };

beforeAll(async () => {
  server = await startServer({ flags: ["--engine", "fake", "--fake-tokens-per-second", "1000"] });
  await using proxy = await startChaosProxy(server.url, () => ({}));
  const client = await connectThrough(proxy);
  handshake = { ...proxy.connections[0]! };
  undisturbed = await read(client.respond(body), server.url);
  whole = { ...proxy.connections[0]! };
  await client.close();
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

function connectThrough(proxy: ChaosProxy, options: ConnectOptions = {}): Promise<Client> {
  return connect(proxy.url, { ...options, headers: { Host: new URL(server.url).host } });
}

/**
 * One stream through a proxy of its own, whose first connections break as planned. False if it was over
 * before: how many events a response has depends on how many tokens came at once.
 */
async function readThrough(
  plans: ConnectionPlan[],
  options: ConnectOptions = {},
): Promise<boolean> {
  await using proxy = await startChaosProxy(server.url, (number) => plans[number] ?? {});
  const client = await connectThrough(proxy, options);
  expect(await read(client.respond(body), server.url)).toEqual(undisturbed);
  // Before it closes: what only its last words break has nothing to come back for.
  const broken = proxy.connections.filter(({ wasBroken }) => wasBroken);
  expect(proxy.connections.length).toBe(broken.length + 1);
  await client.close();
  return broken.length === plans.length;
}

/** All of these, some at once, each making one response; nearly all must have broken. */
async function breakEach(plans: ConnectionPlan[][]): Promise<void> {
  let broken = 0;
  await makes(plans.length, () =>
    forAll(plans, async (plan) => {
      if (await readThrough(plan)) broken += 1;
    }),
  );
  expect(broken).toBeGreaterThan(plans.length * 0.9);
}

/** Some at once; the first failure ends it, when those beside it are over too. */
async function forAll<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  const failures: unknown[] = [];
  const work = async () => {
    for (const item of left) {
      if (failures.length > 0) return;
      await run(item).catch((error: unknown) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: parallel }, work));
  if (failures.length > 0) throw failures[0];
}

/** Responses that have ended, by the server's own count. */
async function endedResponses(): Promise<number> {
  await server.until(isIdle);
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  const counts = metrics.matchAll(/^mlx_serving:request_generation_tokens_count\S* (\d+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** Runs it, and checks that it made so many responses and no more. */
async function makes(count: number, run: () => Promise<void>): Promise<void> {
  const before = await endedResponses();
  await run();
  expect((await endedResponses()) - before).toBe(count);
}

describe("a connection that ends (FIN)", () => {
  it("after any byte from the server changes nothing", async () => {
    const places = [
      ...range(handshake.toClient, 1500),
      ...range(1500, Math.max(whole.toClient, bytesMin), 61),
    ];
    await breakEach(places.map((cutAfterBytes) => [{ toClient: { cutAfterBytes } }]));
  });

  it("after any byte of the next upgrade changes nothing", async () => {
    const first = { toClient: { cutAfterBytes: 2000 } };
    const places = range(0, handshake.toClient);
    await breakEach(places.map((cutAfterBytes) => [first, { toClient: { cutAfterBytes } }]));
  });

  it("after any byte of the request makes one response", async () => {
    const places = range(handshake.toServer + 1, whole.toServer + 1);
    expect(places.length).toBeGreaterThan(100);
    await breakEach(places.map((cutAfterBytes) => [{ toServer: { cutAfterBytes } }]));
  });

  it("in the middle of its resume changes nothing", async () => {
    const first = { toClient: { cutAfterBytes: 2500 } };
    const places = range(handshake.toServer + 1, handshake.toServer + 120, 3);
    await breakEach(places.map((cutAfterBytes) => [first, { toServer: { cutAfterBytes } }]));
  });
});

describe("a connection that is reset (RST)", () => {
  it("after any byte, either way, changes nothing", async () => {
    const fromServer = range(handshake.toClient + 1, bytesMin, 41);
    const fromClient = range(handshake.toServer + 1, whole.toServer, 7);
    await breakEach([
      ...fromServer.map((resetAfterBytes) => [{ toClient: { resetAfterBytes } }]),
      ...fromClient.map((resetAfterBytes) => [{ toServer: { resetAfterBytes } }]),
    ]);
  });
});

describe("a slow and uneven connection", () => {
  it.each<[string, Disturbance]>([
    ["one byte at a time", { byteByByte: true }],
    ["every piece late", { delayMs: 20 }],
  ])("%s changes nothing", async (_what, disturbance) => {
    const plan = { toClient: disturbance, toServer: disturbance };
    await using proxy = await startChaosProxy(server.url, () => plan);
    const client = await connectThrough(proxy);
    expect(await read(client.respond(body), server.url)).toEqual(undisturbed);
    await client.close();
    expect(proxy.connections).toHaveLength(1);
  });
});

describe("an upgrade that gets no answer", () => {
  it.each([0, 100])("after %i bytes is not waited for", async (stallAfterBytes) => {
    const plans = [{ toClient: { cutAfterBytes: 2000 } }, { toClient: { stallAfterBytes } }];
    expect(await readThrough(plans, { connectTimeoutMs: 500 })).toBe(true);
  });
});

/** Mulberry32: the same seed, the same places. */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

describe("16 streams on one connection that breaks 50 times", () => {
  const breaks = 50;
  const bodyOf = (i: number) => ({ input: `Story ${i}`, max_output_tokens: 400 });

  it.each([1, 2])("at places of seed %i lose and double nothing", async (seed) => {
    const alone = await connect(server.url);
    const respond = (client: Client) => range(0, 16).map((i) => client.respond(bodyOf(i)));
    const expected = await Promise.all(respond(alone).map((stream) => read(stream, server.url)));
    await alone.close();
    const below = seeded(seed);
    const planOf = (connection: number): ConnectionPlan => {
      if (connection >= breaks) return {};
      const bytes = handshake.toClient + 1 + below(4000);
      const kind = below(2) === 0 ? "cutAfterBytes" : "resetAfterBytes";
      const request = { [kind]: handshake.toServer + 1 + below(3000) };
      return { toClient: { [kind]: bytes }, ...(below(3) === 0 && { toServer: request }) };
    };
    await using proxy = await startChaosProxy(server.url, planOf);
    const client = await connectThrough(proxy);
    await makes(16, async () => {
      expect(await Promise.all(respond(client).map((stream) => read(stream, server.url)))).toEqual(
        expected,
      );
    });
    await client.close();
    const broken = proxy.connections.filter(({ wasBroken }) => wasBroken);
    expect([broken.length, proxy.connections.length]).toEqual([breaks, breaks + 1]);
  });
});

describe("a resume without a client of ours", () => {
  const lane = { stream_id: "a" };
  const create = { type: "response.create", ...body, ...lane };
  const resume = "mlx_serving:response.resume";

  it("over WebSocket gives exactly the rest, from every event", async () => {
    const socket = await RawSocket.open(server.url);
    const frames = await socket.exchange(create);
    const id = JSON.parse(frames[0]!).response.id;
    const restAfter = (cursor: unknown) =>
      socket.exchange({ type: resume, response_id: id, starting_after: cursor, ...lane });
    for (const cursor of range(-1, frames.length - 1))
      expect(await restAfter(cursor)).toEqual(frames.slice(cursor + 1));
    // On a socket nothing else says that it is over: the last event comes again.
    expect(await restAfter(frames.length - 1)).toEqual(frames.slice(-1));
    const future = { status: 400, error: { code: "invalid_cursor", param: "starting_after" } };
    for (const cursor of [frames.length, 1_000_000])
      expect((await restAfter(cursor)).map((text) => JSON.parse(text))).toMatchObject([future]);
    for (const cursor of [-2, 1.5, "1", null])
      expect((await restAfter(cursor)).map((text) => JSON.parse(text))).toMatchObject([
        { status: 400, error: { param: "starting_after" } },
      ]);
    const unknown = { type: resume, response_id: "resp_none", starting_after: -1, ...lane };
    expect((await socket.exchange(unknown)).map((text) => JSON.parse(text))).toMatchObject([
      { status: 404, error: { code: "response_not_found", param: "response_id" } },
    ]);
    socket.close();
  });

  it("over HTTP gives exactly the rest, from every event", async () => {
    const { url } = server;
    const path = "/v1/responses";
    const full = await ask({ url, path, method: "POST", body: { ...body, stream: true } });
    const events = wholeEvents(full.body);
    expect(events.join("")).toBe(full.body);
    const { id } = dataOf(events[0]!).response as { id: string };
    const restAfter = (cursor: unknown, of = id) =>
      ask({ url, path: `${path}/${of}?stream=true&starting_after=${cursor}` });
    for (const cursor of range(-1, events.length))
      expect(await restAfter(cursor)).toEqual({
        status: 200,
        body: events.slice(cursor + 1).join(""),
        isWhole: true,
      });
    for (const cursor of [events.length, 1_000_000]) {
      const { status, body } = await restAfter(cursor);
      expect(status).toBe(400);
      expect(JSON.parse(body).error).toMatchObject({
        code: "invalid_cursor",
        param: "starting_after",
      });
    }
    for (const cursor of [-2, 1.5, "x", ""]) {
      const { status, body } = await restAfter(cursor);
      expect(status).toBe(400);
      expect(JSON.parse(body).error).toMatchObject({ param: "starting_after" });
    }
    const { status, body: told } = await restAfter(-1, "resp_none");
    expect(status).toBe(404);
    expect(JSON.parse(told).error).toMatchObject({ code: "response_not_found" });
  });
});

describe("server-sent events that are cut", () => {
  /** As any client can: the same POST until it has an id, then the rest, from the last whole event. */
  async function readPersistently(proxy: ChaosProxy, key: string): Promise<string[]> {
    const common = { url: proxy.url, host: new URL(server.url).host };
    const path = "/v1/responses";
    const headers = { "idempotency-key": key };
    const create = { ...common, path, headers, method: "POST" as const };
    const events: string[] = [];
    for (let attempt = 0; attempt < 10; attempt += 1) {
      const id = events[0] && (dataOf(events[0]).response as { id: string }).id;
      const query = `stream=true&starting_after=${events.length - 1}`;
      const answer = await ask(
        id === undefined
          ? { ...create, body: { ...body, stream: true } }
          : { ...common, path: `${path}/${id}?${query}` },
      );
      events.push(...wholeEvents(answer.body));
      if (answer.isWhole) return events;
    }
    throw new Error("Ten attempts were not enough.");
  }

  it("go on with GET and starting_after, to the same text", async () => {
    const places = range(0, bytesMin, 41);
    await makes(places.length, () =>
      forAll(places, async (bytes) => {
        const cuts = [bytes, 400, 1500, 2500];
        await using proxy = await startChaosProxy(server.url, (number) => {
          const cutAfterBytes = cuts[number];
          return cutAfterBytes === undefined ? {} : { toClient: { cutAfterBytes } };
        });
        const events = (await readPersistently(proxy, `sse-${bytes}`)).map(dataOf);
        const { id } = events[0]!.response as { id: string };
        expect(events.map(seen)).toEqual(await logOf(id, server.url));
        expect(events.map(({ sequence_number }) => sequence_number)).toEqual(
          range(0, events.length),
        );
        const deltas = events.map(({ delta }) => delta ?? "").join("");
        expect(deltas).toBe(undisturbed.text);
        expect(events.at(-1)).toMatchObject({ response: { usage: undisturbed.usage } });
        expect(proxy.connections[0]?.wasBroken).toBe(true);
      }),
    );
  });
});
