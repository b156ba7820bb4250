/** Requests and models that are to blame themselves, workers that never come up: who pays for it, and who does not. */
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { isNativeBuilt } from "../../setup/native/build.mjs";
import type { Engine, SubmissionInput } from "../../src-ts/engine/api.js";
import { nativeEnvironment } from "../../src-ts/environment/native.js";
import { createServer } from "../../src-ts/server/index.js";
import { answerOf, FaultBench } from "./support/faults.js";

vi.setConfig({ testTimeout: 60_000 });

const input = (text: string, changes: Partial<SubmissionInput> = {}): SubmissionInput => ({
  input: { kind: "text", text },
  maxTokens: 40,
  ...changes,
});
const ask = async (engine: Engine, body: SubmissionInput) => answerOf(await engine.submit(body));
const streaming = { fakeTokensPerSecond: 200 };
const mates = ["tea", "milk", "water"];

const range = (length: number) => Array.from({ length }, (_, i) => i);

const askAll = (engine: Engine, texts: readonly string[]) =>
  Promise.all(texts.map((text) => ask(engine, input(text))));

async function undisturbed(texts: readonly string[]) {
  await using bench = await new FaultBench().start();
  return await askAll(bench.engine, texts);
}

/** The HTTP server in front of an engine, for one test. */
async function listen(engine: Engine): Promise<string> {
  const ignore = () => undefined;
  const logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };
  const server = createServer({ engine, config: { port: 0 }, logger });
  onTestFinished(() => server.close());
  return (await server.listen()).url;
}

const chat = (url: string, content: string, model?: string) =>
  fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content }], max_tokens: 5 }),
  });

describe("a poisonous request", () => {
  it.each([
    ["that comes with its batch", 0],
    ["that comes into a running batch", 10],
  ])(
    "%s is tried alone after two deaths, fails at the third one there, and its mates complete",
    async (_name, tokensBefore) => {
      const expected = await undisturbed(mates);
      await using bench = new FaultBench({ engine: streaming });
      bench.faults = () => ({ poison: "arsenic" });
      await bench.start();
      const responses = await Promise.all(mates.map((text) => bench.engine.submit(input(text))));
      const answers = Promise.all(responses.map(answerOf));
      await bench.until(() => responses.every(({ tokens }) => tokens.length >= tokensBefore));
      const poisoned = await ask(bench.engine, input("some arsenic"));
      expect(poisoned).toMatchObject({
        text: "",
        end: {
          ending: { kind: "failed", code: "worker_crashed" },
          usage: { completionTokens: 0 },
        },
      });
      expect(await answers).toEqual(expected);
      await bench.until(() => bench.info.state === "ready");
      expect(bench.lost).toHaveLength(2 + 3);
    },
  );
});

describe("out of memory", () => {
  it("for a request that is too big alone is a clear refusal", async () => {
    await using bench = new FaultBench();
    bench.faults = () => ({ outOfMemoryAtTokens: 100 });
    await bench.start();
    const url = await listen(bench.engine);
    const answer = await chat(url, "x".repeat(200));
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ error: { code: "out_of_memory" } });
    expect((await chat(url, "x")).status).toBe(200);
    expect(bench.info.restarts).toBe(0);
  });

  it.each([
    [4, 1],
    [8, 2],
  ])(
    "of a batch of %i makes it smaller: %i deaths, and no answer changes",
    async (rows, deaths) => {
      const texts = range(rows).map((i) => `story ${i}`);
      const expected = await undisturbed(texts);
      await using bench = new FaultBench({ engine: { ...streaming, maxBatch: rows } });
      bench.faults = () => ({ outOfMemoryAtRows: 2 });
      await bench.start();
      expect(await askAll(bench.engine, texts)).toEqual(expected);
      expect(bench.lost).toHaveLength(deaths);
      expect(bench.info.reason).toBeUndefined();
    },
  );

  it("in the middle of answers loses none of their tokens", async () => {
    const expected = await undisturbed(mates);
    await using bench = new FaultBench({ engine: streaming });
    bench.faults = () => ({ outOfMemoryAtRows: 2 });
    await bench.start();
    const [first, second, third] = mates.map((text) => () => bench.engine.submit(input(text)));
    const running = [await first!(), await second!()];
    await bench.until(() => running.every(({ tokens }) => tokens.length > 10));
    const all = [...running, await third!()];
    expect(await Promise.all(all.map(answerOf))).toEqual(expected);
    expect(bench.lost).toHaveLength(1);
  });

  it("for one that is too big leaves its batch alone", async () => {
    const expected = await undisturbed(mates);
    await using bench = new FaultBench({ engine: streaming });
    bench.faults = () => ({ outOfMemoryAtTokens: 100 });
    await bench.start();
    const all = await askAll(bench.engine, [...mates, "x".repeat(200)]);
    expect(all.slice(0, -1)).toEqual(expected);
    expect(all.at(-1)).toMatchObject({
      text: "",
      end: { ending: { kind: "failed", code: "out_of_memory" } },
    });
    expect(bench.lost.length).toBeGreaterThan(0);
  });
});

describe("a worker that crashes over and over", () => {
  it("lets requests wait until their deadline, then recovers", async () => {
    const policy = { deathsWithoutProgressMax: 4, deathsMax: 20, probeMs: 200 };
    await using bench = await new FaultBench({ engine: streaming, policy }).start();
    const url = await listen(bench.engine);
    const ready = async () => (await fetch(`${url}/ready`)).status;
    expect(await ready()).toBe(200);
    const hasty = await bench.engine.submit(input("tea", { maxTokens: 5000, deadlineMs: 3000 }));
    const patient = await bench.engine.submit(input("milk", { maxTokens: 60 }));
    const answers = Promise.all([hasty, patient].map(answerOf));
    await bench.until(() => patient.tokens.length > 3);
    bench.faults = () => ({ exitOnLoad: true });
    process.kill(bench.info.pid!, "SIGKILL");
    await bench.until(() => bench.info.state === "broken");
    const unready = await fetch(`${url}/ready`);
    expect(unready.status).toBe(503);
    expect(unready.headers.get("retry-after")).toMatch(/^\d+$/);
    expect((await chat(url, "more")).status).toBe(503);
    const spawns = bench.info.restarts;
    await bench.until(() => hasty.ending !== undefined && bench.info.restarts > spawns);
    expect(hasty.ending).toEqual({ kind: "expired" });
    expect(patient.ending).toBeUndefined();
    expect((await fetch(`${url}/health`)).status).toBe(200);
    bench.faults = () => ({});
    const [, recovered] = await answers;
    expect(await ready()).toBe(200);
    expect(recovered).toEqual(await ask(bench.engine, input("milk", { maxTokens: 60 })));
  });
});

describe("a model that can't be loaded", () => {
  it("fails with its reason, and another one serves", async () => {
    const models = ["good", "bad"].map((id) => ({ id, kind: "fake" as const, path: "" }));
    const policy = { deathsWithoutProgressMax: 2, deathsMax: 20, probeMs: 60_000 };
    await using bench = new FaultBench({ engine: { models }, policy });
    bench.faults = ({ model }) =>
      model.id === "bad" ? { loadFailed: "weights.safetensors is cut short" } : {};
    await bench.start();
    const url = await listen(bench.engine);
    const bad = () => bench.engine.workers().find(({ model }) => model === "bad")!;
    await bench.until(() => bad().state === "broken");
    expect(bad().reason).toBe("weights.safetensors is cut short");
    const refused = await chat(url, "hello", "bad");
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({
      error: { message: expect.stringContaining("weights.safetensors is cut short") },
    });
    expect((await chat(url, "hello", "good")).status).toBe(200);
    expect((await fetch(`${url}/ready`)).status).toBe(200);
  });
});

describe.runIf(isNativeBuilt())("native code that kills its worker", () => {
  it.each(["SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT"])(
    "by %s is off after the second time, and no answer changes",
    async (dieSignal) => {
      const expected = await undisturbed(["tea"]);
      // As the command line has it: asked for, and turned off for who has died of it.
      const env = ({ native }: { native: boolean }) =>
        nativeEnvironment({ native: native ? "on" : "off", nativeParts: ["pool"] });
      await using bench = new FaultBench({ env });
      // Each death at another token, so that none repeats after its resume.
      bench.faults = ({ epoch }) => ({ dieAtToken: 5 * epoch, dieSignal });
      await bench.start();
      const parts = () => bench.info.native?.parts ?? {};
      expect(parts().pool?.on).toBe(true);
      const [answer] = await askAll(bench.engine, ["tea"]);
      expect(answer).toEqual(expected[0]);
      await bench.until(() => bench.info.state === "ready" && bench.info.restarts >= 2);
      expect(Object.values(parts()).some(({ on }) => on)).toBe(false);
      const verdict = `turned off after 2 deaths of the worker, the last by ${dieSignal}`;
      expect(bench.warnings).toContain(`native parts: ${verdict}`);
      const url = await listen(bench.engine);
      const [worker] = (await (await fetch(`${url}/admin/workers`)).json()) as [object];
      expect(worker).toMatchObject({ native: { disabled: verdict } });
    },
  );
});
