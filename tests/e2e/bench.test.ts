/** `mlx-serving bench` as a user runs it. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type ServerProcess, startServer } from "./support/server.js";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const program = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
let server: ServerProcess;
let folder: string;

beforeAll(async () => {
  server = await startServer({ flags: ["--engine", "fake", "--fake-tokens-per-second", "500"] });
  folder = await mkdtemp(join(tmpdir(), "mlx-serving-bench-"));
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

interface Outcome {
  code: number | string;
  stdout: string;
  stderr: string;
}

function bench(...flags: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [program, "bench", ...flags], (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, stdout, stderr });
    });
  });
}

const small = ["--streams", "4", "--requests", "8", "--max-tokens", "32"];

describe("bench", () => {
  it.each(["chat", "responses", "websocket"])("measures %s", async (api) => {
    const file = join(folder, `${api}.json`);
    const memory = ["--pid", String(server.pid), "--json", file];
    const { code, stdout, stderr } = await bench(
      ...["--url", server.url, "--api", api, "--added-latency", "500"],
      ...small,
      ...memory,
    );
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("8 succeeded, 0 failed");
    const report = JSON.parse(await readFile(file, "utf8"));
    expect(report.options).toMatchObject({ api, streams: 4, requests: 8 });
    const [target] = report.targets;
    expect(target.summary).toMatchObject({
      succeeded: 8,
      failures: {},
      completionTokens: 8 * 32,
      withoutUsage: 0,
    });
    expect(target.summary.endToEndMs.count).toBe(8);
    expect(target.addedLatency.streamsLeftOut).toBe(0);
    expect(target.peakMemory.treeBytes).toBeGreaterThan(target.peakMemory.ownBytes);
  });

  it("compares two targets round by round", async () => {
    const sides = ["--url", server.url, "--api", "websocket", "--vs", server.url];
    const { code, stdout } = await bench(
      ...[...sides, "--vs-api", "chat", "--rounds", "3", "--json", "-"],
      ...small,
    );
    expect(code).toBe(0);
    const { targets, ratios } = JSON.parse(stdout);
    expect(targets.map(({ api }: { api: string }) => api)).toEqual(["websocket", "chat"]);
    expect(ratios[0]).toMatchObject({ name: "tokens/s", rounds: { length: 3 } });
  });

  it("measures idle sockets", async () => {
    const flags = ["--url", server.url, "--idle-sockets", "50", "--pid", String(server.pid)];
    const { code, stdout } = await bench(...flags, "--json", "-");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ sockets: 50 });
  });

  it("fails with 1 when nobody is there, and with 2 when it is used wrongly", async () => {
    const absent = await bench("--url", "http://127.0.0.1:9", "--warmup", "1");
    expect(absent.code).toBe(1);
    expect(absent.stderr).toContain("1 × connection");
    const wrong = await bench("--streams", "none");
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain("--streams is a number");
  });
});
