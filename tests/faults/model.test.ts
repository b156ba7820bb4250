/** The real model: killed in prefill and while it decodes it says what it would have said; a broken one costs only itself. */
import { cpSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { isNativeBuilt } from "../../setup/native/build.mjs";
import { modelsFolder } from "../../setup/paths.mjs";
import { createEngine, type Engine } from "../../src-ts/create-engine.js";
import { startServer } from "../e2e/support/server.js";
import { type Answer, answerOf } from "./support/faults.js";

vi.setConfig({ testTimeout: 240_000, hookTimeout: 180_000 });

// Stock MLX on a CPU prefills some twenty tokens a second: less of everything there.
const slow = !isNativeBuilt();
/** More than a worker may be ahead of what was acknowledged: it has not ended when it is killed. */
const maxTokens = slow ? 24 : 32;
// Two chunks and a rest in the deterministic profile; where that is slow, a part of one.
const sentences = "The river runs past the old mill and down to the sea. ".repeat(slow ? 2 : 20);
const long = `${sentences}What runs past the mill?`;

const sampled = { temperature: 0.8, seed: 7 };
const samplings: Record<string, { temperature: number; seed?: number }> = slow
  ? { sampled }
  : { greedy: { temperature: 0 }, sampled };

/** When the worker is killed: in prefill, or after so many deltas. */
const moments: readonly ("prefill" | number)[] = slow ? ["prefill", 4] : ["prefill", 1, 4, 9];

async function startEngine(): Promise<Engine> {
  const engine = await createEngine({ maxBatch: 1 });
  await engine.whenReady();
  return engine;
}

const worker = (engine: Engine) => engine.workers()[0]!;
const kill = (engine: Engine) => process.kill(worker(engine).pid!, "SIGKILL");

/** In the engine's own turn: it is never far behind the worker, which may be only so many steps ahead. */
function killAtToken(engine: Engine, token: number): void {
  const stop = engine.observe({
    delta: (response) => {
      if (response.tokens.length < token) return;
      stop();
      kill(engine);
    },
  });
}

async function killInPrefill(engine: Engine): Promise<void> {
  await vi.waitUntil(() => worker(engine).prefilling === 1, { interval: 1, timeout: 60_000 });
  kill(engine);
}

describe.each(Object.entries(samplings))(
  "killed, %s, in the deterministic profile",
  (_name, sampling) => {
    let engine: Engine;
    let undisturbed: Answer;
    const input = { kind: "chat" as const, messages: [{ role: "user", content: long }] };
    const ask = () => engine.submit({ input, maxTokens, sampling });

    beforeAll(async () => {
      engine = await startEngine();
      undisturbed = await answerOf(await ask());
    });
    afterAll(() => engine?.close());

    it.each(moments)("at %s, the answer is the undisturbed one", async (moment) => {
      const { restarts } = worker(engine);
      if (moment !== "prefill") killAtToken(engine, moment);
      const response = await ask();
      if (moment === "prefill") await killInPrefill(engine);
      const { text, tokens } = await answerOf(response);
      expect({ text, tokens }).toEqual({ text: undisturbed.text, tokens: undisturbed.tokens });
      expect(response.promptTokens.length).toBeGreaterThan(0);
      expect(worker(engine).restarts).toBe(restarts + 1);
    });
  },
);

describe("killed while it keeps to a schema, in the deterministic profile", () => {
  const schema = {
    type: "object",
    properties: {
      title: { type: "string", minLength: 20, maxLength: 60 },
      tags: { type: "array", items: { enum: ["a", "b", "c"] }, minItems: 3, maxItems: 4 },
      count: { type: "integer", minimum: 100, maximum: 999 },
    },
    required: ["title", "tags", "count"],
    additionalProperties: false,
  };
  const input = {
    kind: "chat" as const,
    messages: [{ role: "user", content: "A mill, as JSON." }],
  };
  const constraint = { kind: "json" as const, text: JSON.stringify(schema) };
  let engine: Engine;
  let undisturbed: Answer;
  const ask = () => engine.submit({ input, constraint, maxTokens: 200, sampling: sampled });

  beforeAll(async () => {
    engine = await startEngine();
    undisturbed = await answerOf(await ask());
  });
  afterAll(() => engine?.close());

  it.each([1, 9, 20])("at %s, the answer is the undisturbed one, and valid", async (token) => {
    killAtToken(engine, token);
    const response = await ask();
    const { text, tokens } = await answerOf(response);
    expect({ text, tokens }).toEqual({ text: undisturbed.text, tokens: undisturbed.tokens });
    expect(response.ending).toEqual({ kind: "stop" });
    const answer = JSON.parse(text) as Record<string, unknown>;
    expect(Object.keys(answer)).toEqual(["title", "tags", "count"]);
    expect(answer.count).toBeGreaterThanOrEqual(100);
  });
});

describe("a model whose weights are cut short", () => {
  it("fails its load with the reason, and the other one serves", async () => {
    const embedded = join(modelsFolder(), "smollm2-135m-instruct");
    const folder = mkdtempSync(join(tmpdir(), "mlx-serving-cut-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const broken = join(folder, "broken");
    cpSync(embedded, broken, { recursive: true, dereference: true });
    const weights = readdirSync(broken).find((name) => name.endsWith(".safetensors"))!;
    truncateSync(join(broken, weights), Math.floor(statSync(join(broken, weights)).size / 2));

    const flags = ["--model", "smollm2-135m-instruct", "--model", broken];
    await using server = await startServer({ flags });
    const bad = async () => (await server.workers())[1] as unknown as Record<string, string>;
    await expect
      .poll(async () => (await bad()).reason, { timeout: 60_000 })
      .toMatch(/\.safetensors/);
    const answer = async (model: string) =>
      fetch(`${server.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model, messages: [{ role: "user", content: "Hi" }], max_tokens: 2 }),
      });
    expect((await answer("smollm2-135m-instruct")).status).toBe(200);
    await expect.poll(async () => (await bad()).state, { timeout: 60_000 }).toBe("broken");
    const refused = await answer((await bad()).model!);
    expect(refused.status).toBe(503);
    expect(await refused.text()).toMatch(/\.safetensors/);
    expect((await fetch(`${server.url}/ready`)).status).toBe(200);
  });
});
