/** `--prefix-cache-dir` on the embedded model: what was computed of a prompt outlives the server, however it ends. */
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { connect } from "../../src-ts/client/index.js";
import { type ServerProcess, startServer } from "./support/server.js";

vi.setConfig({ testTimeout: 240_000 });

const blockTokens = 64;
const input = "A long beginning, of many words. ".repeat(60);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mlx-serving-"));
});
afterEach(() => {
  chmodSync(folder, 0o700);
  rmSync(folder, { recursive: true });
});

async function answer({ url }: ServerProcess, salt = "") {
  await using client = await connect(url);
  const options = { store: false, temperature: 0, max_output_tokens: 16 };
  const { text, usage } = await client.respond({ ...options, input: salt + input }).final();
  return { text, tokens: usage!.input_tokens, cached: usage!.input_tokens_details.cached_tokens };
}

async function figure({ url }: ServerProcess, name: string): Promise<number | undefined> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const found = new RegExp(`^mlx_serving:worker_prefix_disk_${name}\\{.*\\} (\\S+)$`, "m").exec(
    text,
  );
  return found === null ? undefined : Number(found[1]);
}

/** All that was computed is on disk. */
async function written(server: ServerProcess) {
  await vi.waitFor(
    async () => {
      expect(await figure(server, "writes_total")).toBeGreaterThan(0);
      expect(await figure(server, "pending")).toBe(0);
    },
    { timeout: 60_000, interval: 100 },
  );
}

const start = (...flags: string[]) =>
  startServer({ flags: ["--prefix-cache-dir", folder, ...flags] });

describe("a prompt after a restart", () => {
  it.each([
    ["as it is", 1, []],
    ["in the deterministic profile", 2, ["--max-batch", "1"]],
  ] as const)("is found on disk, with the same answer: %s", async (_, unit, flags) => {
    let before: Awaited<ReturnType<typeof answer>>;
    {
      await using server = await start(...flags);
      before = await answer(server);
      expect(before.cached).toBe(0);
      await written(server);
      const { pid } = await server.worker();
      process.kill(pid!, "SIGKILL");
    }
    await using server = await start(...flags);
    const after = await answer(server);
    const units = Math.floor((before.tokens - 1) / (blockTokens * unit));
    expect(after.cached).toBeGreaterThanOrEqual(units * blockTokens * unit);
    expect(after.cached).toBeLessThan(after.tokens);
    expect(after.text).toBe(before.text);
    expect(await figure(server, "hits_total")).toBeGreaterThan(0);
  });
});

describe("what is in the folder", () => {
  it("is its owner's alone, and may be damaged", async () => {
    {
      await using server = await start();
      await answer(server);
      await written(server);
    }
    const own = join(folder, "kv-blocks");
    expect(statSync(own).mode & 0o777).toBe(0o700);
    const files = readdirSync(own).map((name) => join(own, name));
    for (const path of files) {
      expect(statSync(path).mode & 0o777).toBe(0o600);
      truncateSync(path, 1_000);
    }
    await using server = await start();
    const { cached } = await answer(server);
    expect(cached).toBe(0);
    await written(server);
    expect(await figure(server, "errors_total")).toBeDefined();
  });

  it("need not be usable", async () => {
    await using server = await startServer({
      flags: ["--prefix-cache-dir", join(import.meta.filename, "below")],
    });
    await answer(server);
    await vi.waitFor(async () => expect(await figure(server, "on")).toBe(0), { timeout: 10_000 });
    expect(server.stderr()).toMatch(/no prefixes are kept on disk in .*: Not a directory/);
  });

  it("is bounded, and a limit below a block keeps none", async () => {
    await using server = await start("--prefix-cache-disk", "1MB");
    await answer(server);
    await vi.waitFor(async () => expect(await figure(server, "on")).toBe(0), { timeout: 10_000 });
    expect(server.stderr()).toMatch(/--prefix-cache-disk is 1000000 bytes, a block .* takes \d+/);
  });
});
