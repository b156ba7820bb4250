import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ConfigError, serve } from "../../src-ts/index.js";

let folder: string;
let before: string;
beforeEach(() => {
  before = process.cwd();
  folder = mkdtempSync(join(tmpdir(), "mlx-serving-library-"));
});
afterEach(() => {
  vi.unstubAllEnvs();
  process.chdir(before);
  rmSync(folder, { recursive: true });
});

const options = { port: 0, engine: "fake" } as const;

it("serves inside the program and ends with its scope", async () => {
  let url = "";
  let pid: number | undefined;
  {
    await using server = await serve(options);
    url = server.url;
    pid = server.engine.workers()[0]?.pid;
    expect((await fetch(`${url}/ready`)).status).toBe(200);
    expect(() => process.kill(pid!, 0)).not.toThrow();
  }
  await expect(fetch(`${url}/ready`)).rejects.toThrow();
  expect(() => process.kill(pid!, 0)).toThrow();
});

it("takes options as programs write them, with their defaults", async () => {
  await using server = await serve({ ...options, model: ["a", "b/c"], drainTimeout: "100ms" });
  expect(server.engine.models().map(({ id, isDefault }) => [id, isDefault])).toEqual([
    ["a", true],
    ["b/c", false],
  ]);
});

it("takes native parts as options, whatever the environment says", async () => {
  vi.stubEnv("MLX_SERVING_NATIVE", "on");
  vi.stubEnv("MLX_SERVING_NATIVE_PARTS", "magic");
  await using server = await serve({ ...options, native: "auto", nativeParts: ["metrics"] });
  const [worker] = server.engine.workers();
  expect(worker?.native?.parts.pool).toEqual({
    on: false,
    reason: "not among --native-parts",
    applicable: true,
    missing: false,
  });
  expect(worker?.native?.parts.metrics?.reason ?? "").not.toContain("MLX_SERVING_NATIVE");
});

it("reads no configuration file", async () => {
  writeFileSync(join(folder, "mlx-serving.config.json"), '{"model": "from-the-file"}');
  process.chdir(folder);
  await using server = await serve({ ...options, model: "mine" });
  expect(server.engine.models().map(({ id }) => id)).toEqual(["mine"]);
});

it("rejects with ConfigError for wrong options", async () => {
  await expect(serve({ ...options, maxBatch: 0 })).rejects.toThrow(ConfigError);
  await expect(serve({ model: "nowhere" })).rejects.toThrow("was not found");
});

it("rejects when the port is in use, and leaves nothing running", async () => {
  await using first = await serve(options);
  const onEngine = vi.fn();
  const port = Number(new URL(first.url).port);
  await expect(serve({ ...options, port }, { onEngine })).rejects.toThrow("EADDRINUSE");
  const [engine] = onEngine.mock.calls[0] ?? [];
  expect(engine.workers().map(({ state }: { state: string }) => state)).toEqual(["stopped"]);
});

it("gives up starting when its signal is aborted", async () => {
  const abort = new AbortController();
  const onEngine = vi.fn(() => abort.abort(new Error("changed my mind")));
  await expect(serve(options, { signal: abort.signal, onEngine })).rejects.toThrow("my mind");
});

it("drains: what runs ends, then nothing answers", async () => {
  const server = await serve({ ...options, fakeTokensPerSecond: 100 });
  const response = await fetch(`${server.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt: "hello", max_tokens: 20, stream: true }),
  });
  const drained = server.drain();
  expect(await response.text()).toContain("data: [DONE]");
  await drained;
  await expect(fetch(server.url)).rejects.toThrow();
});

it.each([
  [undefined, 200],
  [true, 400],
  ["on", 400],
] as const)("strict: %s answers an unknown field with %i", async (strict, status) => {
  await using server = await serve({ ...options, strict });
  const answer = await fetch(`${server.url}/v1/responses`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ input: "hi", max_output_tokens: 2, foo: 1 }),
  });
  expect(answer.status).toBe(status);
});

describe("aliases", () => {
  const ask = async (url: string, model: string) => {
    const answer = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model, max_tokens: 2, messages: [{ role: "user", content: "hi" }] }),
    });
    return { status: answer.status, model: ((await answer.json()) as { model?: string }).model };
  };

  it("are names of a model that clients may ask for, and see in the list", async () => {
    await using server = await serve({ ...options, model: "mine", alias: ["gpt-5=mine"] });
    expect(await ask(server.url, "gpt-5")).toEqual({ status: 200, model: "mine" });
    expect((await ask(server.url, "gpt-4")).status).toBe(404);
    const list = (await (await fetch(`${server.url}/v1/models`)).json()) as {
      data: { id: string }[];
    };
    expect(list.data.map(({ id }) => id)).toEqual(["mine", "gpt-5"]);
    expect((await fetch(`${server.url}/v1/models/gpt-5`)).status).toBe(200);
  });

  it("may be all names", async () => {
    await using server = await serve({ ...options, model: "mine", alias: "*=mine" });
    expect(await ask(server.url, "claude-sonnet-4-5")).toEqual({ status: 200, model: "mine" });
  });

  it("of a model that is not served are a mistake", async () => {
    const started = serve({ ...options, model: "mine", alias: "gpt-5=other" });
    await expect(started).rejects.toThrow(
      "--alias gpt-5=other stands for a model that is not served; served is mine.",
    );
  });
});
