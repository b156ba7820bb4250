/** The embedded model with a quantized KV cache: what is said of it, what it takes, and its worker's death. */
import { describe, expect, it, vi } from "vitest";
import { connect } from "../../src-ts/client/index.js";
import { killedAt } from "./support/kills.js";
import { longAnswer, startServer } from "./support/server.js";

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

// 30 layers, keys and values of 3 heads: 64 codes of a byte, a scale and a bias of 4.
const bytesPerToken = 30 * 2 * 3 * (64 + 2 * 4);

describe("--kv-bits 8", () => {
  it("answers, is told, and goes on where it was after a SIGKILL of its worker", async () => {
    await using server = await startServer({ flags: ["--kv-bits", "8", "--max-batch", "1"] });
    await using client = await connect(server.url);
    const get = async (path: string) => (await fetch(`${server.url}${path}`)).text();
    const [model] = JSON.parse(await get("/v1/models")).data;
    expect(model.mlx_serving).toMatchObject({ kv_bits: 8, prefix_reuse: "part" });
    const [worker] = JSON.parse(await get("/admin/workers"));
    expect(worker.limits).toMatchObject({ kvBits: 8, kvBytesPerToken: bytesPerToken });
    expect(await get("/metrics")).toContain(
      `worker_kv_bytes_per_token{worker="${worker.id}",bits="8"} ${bytesPerToken}\n`,
    );

    const asked = { temperature: 0, max_output_tokens: 12 };
    const answer = await client
      .respond({ ...asked, input: "What is the capital of France?" })
      .final();
    expect(answer.text).toContain("Paris");
    const body = { ...asked, ...longAnswer };
    const undisturbed = await client.respond(body).final();
    const text = await killedAt(server, client.respond(body), [8]);
    expect(text).toBe(undisturbed.text);
    expect((await server.worker()).restarts).toBe(1);
  });

  it("is refused by name where it makes no sense", async () => {
    await expect(startServer({ flags: ["--kv-bits", "3"] })).rejects.toThrow(
      '--kv-bits must be one of 0, 4, 8, not "3".',
    );
    await expect(startServer({ flags: ["--kv-bits", "8", "--engine", "fake"] })).rejects.toThrow(
      "--kv-bits 8 needs --engine mlx",
    );
  });
});
