/** Native parts are optional: on, off or broken, the server serves, and says which. */
import { describe, expect, it, vi } from "vitest";
import { isNativeBuilt } from "../../setup/native/build.mjs";
import { brokenEnvironment, nativeMode } from "./support/native.js";
import { modelOf, openai, streamedChat } from "./support/openai.js";
import { type ServerProcess, startServer } from "./support/server.js";

vi.setConfig({ testTimeout: 180_000 });

async function partsOf(server: ServerProcess) {
  const { native } = await server.worker();
  return Object.entries(native!.parts).filter(([, { applicable }]) => applicable);
}

async function ask(server: ServerProcess): Promise<string> {
  const api = openai(server.url);
  const question = { prompt: "What is the capital of France?", maxTokens: 8 };
  return streamedChat(api, await modelOf(api), question);
}

describe(`native ${nativeMode}`, () => {
  it("is what the worker reports", async () => {
    await using server = await startServer();
    const parts = await partsOf(server);
    expect(parts.length).toBeGreaterThan(1);
    for (const [name, { on, reason }] of parts) {
      if (nativeMode === "on")
        expect({ name, on, reason }).toEqual({ name, on: true, reason: null });
      if (nativeMode === "off") expect(reason).toBe("turned off by --native or MLX_SERVING_NATIVE");
      if (nativeMode === "broken") expect(reason).toMatch(/is damaged|off by default/);
    }
    expect(await ask(server)).toContain("Paris");
  });

  it("counts requests", async () => {
    await using server = await startServer({ flags: ["--engine", "fake"] });
    const api = openai(server.url);
    const model = await modelOf(api);
    for (let i = 0; i < 3; i += 1) await streamedChat(api, model, { prompt: "x", maxTokens: 4 });
    const completed = async () => (await server.worker()).native!.metrics!.completedRequests;
    await vi.waitUntil(async () => (await completed()) === 3, { timeout: 10_000 });
  });
});

describe("--native on", () => {
  it.runIf(isNativeBuilt())("ends with 2 and says what is broken", async () => {
    const env = { MLX_SERVING_PYTHON_ENV: brokenEnvironment() };
    const started = startServer({ flags: ["--native", "on"], env });
    await expect(started).rejects.toThrow(/ended with 2 .*krserve_native\S* is damaged/s);
  });
});

describe("a wrong name of a part", () => {
  it("ends with 2 and names them all", async () => {
    const started = startServer({ flags: ["--native-parts", "blas,magic"] });
    await expect(started).rejects.toThrow(/ended with 2 .*--native-parts.*pool.*kernels/s);
  });
});
