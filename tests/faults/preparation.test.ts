/**
 * Prompts that kill the process that prepares them, and prompts that no process can read: real processes,
 * with streams beside. Who sent them gets an error; nobody else notices more than a pause.
 */
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { Engine, SubmissionInput } from "../../src-ts/engine/api.js";
import { defaultPolicy, type Policy } from "../../src-ts/machines/Worker.js";
import { type ServerProcess, startServer } from "../e2e/support/server.js";
import { answerOf, FaultBench } from "./support/faults.js";

vi.setConfig({ testTimeout: 60_000 });

const poison = "arsenic";
const input = (text: string, maxTokens = 60): SubmissionInput => ({
  input: { kind: "text", text },
  maxTokens,
});
const chat = (content: unknown): SubmissionInput => ({
  input: { kind: "chat", messages: [{ role: "user", content }] },
});
const streaming = { fakeTokensPerSecond: 100, maxBatch: 8 };
const mates = ["tea", "milk", "water"];

const errorOf = (engine: Engine, body: SubmissionInput) =>
  engine.submit(body).then(
    () => Promise.reject(new Error("it was accepted")),
    (error: unknown) => error,
  );

async function undisturbed(texts: readonly string[]) {
  await using bench = await new FaultBench({ engine: { maxBatch: 8 } }).start();
  const { engine } = bench;
  return await Promise.all(texts.map(async (text) => answerOf(await engine.submit(input(text)))));
}

/** With the supervision that servers have, but for the wait between two starts. */
async function poisoned(faults: object, policy: Partial<Policy> = {}): Promise<FaultBench> {
  const bench = new FaultBench({ engine: streaming, policy: { ...defaultPolicy, ...policy } });
  bench.faults = () => faults;
  onTestFinished(() => bench[Symbol.asyncDispose]());
  return bench.start();
}

async function streamsOf(bench: FaultBench, tokensBefore: number) {
  const streams = await Promise.all(mates.map((text) => bench.engine.submit(input(text))));
  const answers = Promise.all(streams.map(answerOf));
  await bench.until(() => streams.every(({ tokens }) => tokens.length >= tokensBefore));
  return answers;
}

describe("a prompt that kills the process that prepares it", () => {
  it.each([0, 5])("fails twice, beside three streams with %i tokens out", async (tokensBefore) => {
    const expected = await undisturbed(mates);
    const bench = await poisoned({ poisonPrepare: poison });
    const answers = streamsOf(bench, tokensBefore);
    if (tokensBefore > 0) await bench.until(() => bench.info.decoding === mates.length);
    for (let time = 0; time < 2; time++) {
      const error = await errorOf(bench.engine, input(`some ${poison} ${time}`));
      expect(error).toMatchObject({ code: "worker_crashed", status: 500, param: "input" });
    }
    expect(await answers).toEqual(expected);
    await bench.until(() => bench.info.state === "ready");
    expect(bench.lost).toHaveLength(4);
    expect(bench.info).toMatchObject({ running: 0, preparing: 0, queued: 0, restarts: 4 });
  });

  it("is told from the good ones that were prepared beside it", async () => {
    const bench = await poisoned({ poisonPrepare: poison, prepareMs: 30 });
    const good = mates.map((text) => bench.engine.submit(input(text, 3)));
    const bad = errorOf(bench.engine, input(poison));
    const more = mates.map((text) => bench.engine.submit(input(`${text}, please`, 3)));
    expect(await bad).toMatchObject({ code: "worker_crashed", param: "input" });
    for (const response of await Promise.all([...good, ...more]))
      expect((await answerOf(response)).end).toMatchObject({ ending: { kind: "length" } });
    expect(bench.lost).toHaveLength(2);
  });

  it("never opens the circuit, however many come at once", async () => {
    const bench = await poisoned({ poisonPrepare: poison });
    const states = new Set<string>();
    bench.engine.observe({ workerState: ({ to }) => void states.add(to) });
    const many = Array.from({ length: 12 }, (_, i) => errorOf(bench.engine, input(poison + i)));
    for (const error of await Promise.all(many))
      expect(error).toMatchObject({ code: "worker_crashed" });
    expect(bench.lost.length).toBeLessThanOrEqual(2 * many.length);
    expect([...states]).not.toContain("broken");
    expect(await answerOf(await bench.engine.submit(input("tea", 3)))).toBeDefined();
  });

  it("that hangs is ended by the watchdog where nobody runs beside it", async () => {
    const bench = await poisoned({ hangPrepare: poison }, { suspectMs: 300, stallMs: 600 });
    expect(await errorOf(bench.engine, chat(poison))).toMatchObject({
      code: "worker_crashed",
      param: "input",
    });
    expect(bench.lost).toEqual(["stalled", "stalled"]);
    await bench.until(() => bench.info.state === "ready");
  });
});

describe("what no process can read", () => {
  it.each([
    ["half of a surrogate pair in a text", { kind: "text", text: "a\ud800b" }],
    ["the other half alone", { kind: "text", text: "\udfff" }],
    ["one in a message", chat("\ud800").input],
    ["one in a part of a message", chat([{ type: "text", text: "\udc00" }]).input],
    ["one in a key", chat({ "\ud800": 1 }).input],
    ["bytes in a message", chat(new Uint8Array([1, 2])).input],
    ["a date in a message", chat(new Date(0)).input],
    ["a kind that there is not", { kind: "picture" }],
    ["tokens of three bytes", { kind: "tokens", tokens: new Uint8Array(3) }],
  ])("%s is refused, and no worker dies of it", async (_name, prompt) => {
    const bench = await poisoned({});
    const error = await errorOf(bench.engine, { input: prompt as never });
    expect(error).toMatchObject({ code: "invalid_request", status: 400, param: "input" });
    expect(String(error)).not.toMatch(/[\ud800-\udfff]/);
    expect(bench.info.restarts).toBe(0);
    expect(bench.lost).toEqual([]);
  });

  it.each([
    ["a stop string of half a character", { stop: ["\ud800"] }],
    ["a number of likeliest tokens below zero", { topK: -2 }],
    ["a least share that is none", { minP: Number.NaN }],
    ["a temperature that is none", { temperature: Number.NaN }],
    ["a penalty without end", { presencePenalty: Number.POSITIVE_INFINITY }],
    ["a bias of half a token", { logitBias: [[0.5, 1]] as [number, number][] }],
  ])("%s fails its response after the acceptance, and none of its batch", async (_, sampling) => {
    const bench = await poisoned({});
    const [bad, ...good] = await Promise.all([
      bench.engine.submit({ ...input("x"), sampling }),
      ...mates.map((text) => bench.engine.submit(input(text, 5))),
    ]);
    const { end } = await answerOf(bad!);
    expect(end).toMatchObject({ ending: { kind: "failed", code: "invalid_request" } });
    for (const response of good)
      expect((await answerOf(response)).end).toMatchObject({ ending: { kind: "length" } });
    expect(bench.info.restarts).toBe(0);
  });
});

describe("over HTTP", () => {
  const post = (server: ServerProcess, path: string, body: object) =>
    fetch(`${server.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });

  it("three clients stream while a fourth sends poison in every API", async () => {
    await using server = await startServer({
      flags: ["--engine", "fake", "--fake-tokens-per-second", "50"],
      env: { MLX_SERVING_FAKE_FAULTS: JSON.stringify({ poisonPrepare: poison }) },
    });
    const streams = mates.map(async (text) => {
      const body = { input: text, max_output_tokens: 120, stream: true };
      return (await post(server, "/v1/responses", body)).text();
    });
    const messages = [{ role: "user", content: poison }];
    const bodies: [string, object, string][] = [
      ["/v1/responses", { input: poison }, "input"],
      ["/v1/chat/completions", { messages }, "messages"],
      ["/v1/completions", { prompt: poison }, "prompt"],
    ];
    for (const [path, body, param] of bodies) {
      const answer = await post(server, path, body);
      expect(answer.status, path).toBe(500);
      const { error } = (await answer.json()) as { error: object };
      expect(error).toMatchObject({ code: "worker_crashed", type: "server_error", param });
    }
    for (const text of await Promise.all(streams)) {
      expect(text).not.toContain("worker_crashed");
      expect(text).toContain('"output_tokens":120');
    }
    await server.until(({ state }) => state === "ready");
  });
});
