/** Whatever ends a request early frees its slot, in whatever state it is: `/admin/workers` shows it. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type Client, type CreateResponseBody, connect } from "../../src-ts/client/index.js";
import { isIdle, type ServerProcess, startServer, type Worker } from "./support/server.js";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

/** All would take minutes: a slot that is free again was freed. */
const endless = ["--engine", "fake", "--max-batch", "1", "--fake-tokens-per-second", "20"];
const maxTokens = 4000;
const deadlineMs = 1000;

interface Situation {
  state: "preparing" | "queued" | "prefilling" | "decoding";
  faults: Record<string, number>;
  prompt: string;
  /** Another request has the only slot. */
  behindAnother: boolean;
}

const situations: Situation[] = [
  { state: "preparing", faults: { prepareMs: 2000 }, prompt: "Hi", behindAnother: false },
  { state: "queued", faults: {}, prompt: "Hi", behindAnother: true },
  {
    state: "prefilling",
    faults: { prefillMsPerToken: 1 },
    prompt: "Hi ".repeat(40_000),
    behindAnother: false,
  },
  { state: "decoding", faults: {}, prompt: "Hi", behindAnother: false },
];

describe.each(situations)("while $state", ({ state, faults, prompt, behindAnother }) => {
  let server: ServerProcess;
  let client: Client;
  /** Waits until the request is in the state. */
  const reached = () => server.until((worker) => worker[state] === 1);
  const body: CreateResponseBody = { input: prompt, max_output_tokens: maxTokens, store: false };

  beforeAll(async () => {
    const env = { MLX_SERVING_FAKE_FAULTS: JSON.stringify(faults) };
    server = await startServer({ flags: endless, env });
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
  });

  beforeEach(async () => {
    client = await connect(server.url);
    if (!behindAnother) return;
    client.respond({ ...body, input: "first" });
    await server.until(({ decoding }) => decoding === 1);
  });
  afterEach(async () => {
    await client.close();
    await server.until(isIdle);
  });

  /** As before the request: idle, or with the other one alone, which nothing has disturbed. */
  const isFree = (worker: Worker) =>
    behindAnother ? worker.queued === 0 && worker.decoding === 1 : isIdle(worker);

  it("an aborted signal frees the slot", async () => {
    const controller = new AbortController();
    const stream = client.respond(body, { signal: controller.signal });
    await reached();
    controller.abort();
    await expect(stream.final()).rejects.toMatchObject({ name: "AbortError" });
    await server.until(isFree);
  });

  it("leaving the loop frees the slot", async () => {
    const events = client.respond(body)[Symbol.asyncIterator]();
    await reached();
    await events.return?.();
    await server.until(isFree);
  });

  it("cancel() frees the slot and ends the response as cancelled", async () => {
    const stream = client.respond(body);
    await reached();
    stream.cancel();
    const { response } = await stream.final();
    expect(response).toMatchObject({
      status: "cancelled",
      incomplete_details: { reason: "cancelled" },
    });
    await server.until(isFree);
  });

  it("a closed HTTP chat stream frees the slot", async () => {
    const controller = new AbortController();
    const answer = fetch(`${server.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        messages: [{ role: "user", content: prompt }],
        max_tokens: maxTokens,
        stream: true,
      }),
      signal: controller.signal,
    }).then((response) => response.text());
    const ended = expect(answer).rejects.toMatchObject({ name: "AbortError" });
    await reached();
    controller.abort();
    await ended;
    await server.until(isFree);
  });

  it("a deadline frees the slot and fails the response", async () => {
    const stream = client.respond(body, { deadlineMs });
    const ended = expect(stream.final()).rejects.toMatchObject({ code: "deadline_exceeded" });
    await reached();
    await ended;
    await server.until(isFree);
  });
});
