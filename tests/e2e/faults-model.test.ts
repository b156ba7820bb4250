/** The real model: killed in prefill and while it decodes it says what it would have said; a broken one costs only itself. */
import { cpSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { modelsFolder } from "../../scripts/lib/paths.mjs";
import { type Client, type CreateResponseBody, connect } from "../../src-ts/client/index.js";
import { nativeMode } from "./support/native.js";
import { type ServerProcess, startServer } from "./support/server.js";

vi.setConfig({ testTimeout: 240_000, hookTimeout: 180_000 });

const maxTokens = 12;
// Stock MLX on a CPU prefills some twenty tokens a second: less of everything there.
const slow = nativeMode === "off" || nativeMode === "broken";
// Two chunks and a rest in the deterministic profile; where that is slow, a part of one.
const sentences = "The river runs past the old mill and down to the sea. ".repeat(slow ? 4 : 20);
const long = `${sentences}What runs past the mill?`;

const sampled = { temperature: 0.8, seed: 7 };
const samplings: Record<string, { temperature: number; seed?: number }> = slow
  ? { sampled }
  : { greedy: { temperature: 0 }, sampled };

/** When the worker is killed: in prefill, or after so many deltas. */
const moments: readonly ("prefill" | number)[] = slow ? ["prefill", 4] : ["prefill", 1, 4, 9];

describe.each(Object.entries(samplings))(
  "killed, %s, in the deterministic profile",
  (_name, how) => {
    let server: ServerProcess;
    let client: Client;
    let undisturbed: { text: string; usage: unknown };
    const body = { input: long, max_output_tokens: maxTokens, ...how } as CreateResponseBody;

    beforeAll(async () => {
      server = await startServer({ flags: ["--max-batch", "1"] });
      client = await connect(server.url);
      const { text, usage } = await client.respond(body).final();
      undisturbed = { text, usage };
      expect(usage?.output_tokens).toBe(maxTokens);
    });
    afterAll(async () => {
      await client?.close();
      await server?.[Symbol.asyncDispose]();
    });

    it.each(moments)("at %s, the text is the undisturbed one", async (moment) => {
      // A prefix that is kept would make the prefill too short to be met.
      const { epoch } = await server.until(({ state }) => state === "ready");
      if (moment === "prefill") await restarted(server, epoch);
      const { pid, restarts } = await server.worker();
      const stream = client.respond(body);
      if (moment === "prefill") {
        await server.until(({ prefilling }) => prefilling === 1);
        process.kill(pid!, "SIGKILL");
      }
      let deltas = 0;
      for await (const { type } of stream) {
        if (type !== "response.output_text.delta") continue;
        deltas += 1;
        if (deltas === moment) process.kill(pid!, "SIGKILL");
      }
      const { text, usage, response } = await stream.final();
      expect(text).toBe(undisturbed.text);
      expect(usage?.output_tokens).toBe(maxTokens);
      expect(usage?.input_tokens).toBe(
        (undisturbed.usage as { input_tokens: number }).input_tokens,
      );
      expect(response.status).toBe("incomplete");
      expect((await server.worker()).restarts).toBe(restarts + 1);
    });
  },
);

async function restarted(server: ServerProcess, epoch: number): Promise<void> {
  const { id } = await server.worker();
  await fetch(`${server.url}/admin/workers/${id}/restart`, { method: "POST" });
  await server.until((worker) => worker.epoch > epoch && worker.state === "ready");
}

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
