import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { nativeEnvironment } from "../../../src-ts/environment/native.js";
import type {
  LaunchedProcess,
  LinkEvents,
  ProcessEvents,
} from "../../../src-ts/worker/launcher.js";
import { encodeRaw } from "../../../src-ts/worker/link.js";
import { fromWorkerTypes } from "../../../src-ts/worker/messages.js";
import { type PythonCommand, pythonLauncher } from "../../../src-ts/worker/process.js";

const folder = mkdtempSync(join(tmpdir(), "mlx-serving-process-"));
afterEach(() => vi.unstubAllEnvs());
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs `script` in place of Python, with the worker's arguments behind it. */
function command(script: string): PythonCommand {
  const path = join(folder, `${Math.random().toString(36).slice(2)}.mjs`);
  writeFileSync(path, `#!${process.execPath}\n${script}`, { mode: 0o755 });
  return { python: path, packageDir: folder };
}

function run(
  script: string | Error,
  onOutput: (line: string) => void = () => undefined,
  env: PythonCommand["env"] = {},
) {
  const seen: string[] = [];
  const launcher = pythonLauncher({
    command: () => {
      if (script instanceof Error) throw script;
      return { ...command(script), env };
    },
    onOutput: (_worker, line) => onOutput(line),
  });
  let process: LaunchedProcess;
  const exited = new Promise<{ code: number; signal: string; message: string }>((resolve) => {
    const link: LinkEvents = {
      message: ({ type }) => seen.push(type),
      stale: (frames) => seen.push(`stale ${frames}`),
      violated: () => seen.push("violated"),
      closed: () => seen.push("closed"),
    };
    const events: ProcessEvents = {
      spawned: () => seen.push("spawned"),
      exited: (code, signal, message) => resolve({ code, signal, message }),
    };
    const model = { id: "m", kind: "fake", path: "" } as const;
    const spec = { workerId: "w1", epoch: 1, engine: "fake", model, native: true } as const;
    process = launcher.launch(spec, events, link).process;
  });
  return { seen, exited, kill: () => process.kill("SIGKILL") };
}

describe("a worker process", () => {
  it("that can't be started is an exit with code -1", async () => {
    const missing = run(new Error("no Python here"));
    expect(await missing.exited).toEqual({ code: -1, signal: "", message: "no Python here" });
  });

  it("tells its exit code and the last lines it wrote", async () => {
    const lines: string[] = [];
    const { exited, seen } = run(
      "console.log('out'); console.error('no module'); process.exitCode = 3",
      (line) => lines.push(line),
    );
    expect(await exited).toMatchObject({ code: 3, message: expect.stringContaining("no module") });
    expect(seen[0]).toBe("spawned");
    expect(lines.sort()).toEqual(["no module", "out"]);
  });

  it("breaks the link with a stray print, and is not read any further", async () => {
    const { exited, seen } = run(
      "import fs from 'node:fs'; fs.writeSync(3, 'Traceback'); setTimeout(() => fs.writeSync(3, 'more'), 50)",
    );
    await exited;
    expect(seen.filter((event) => event === "violated")).toHaveLength(1);
  });

  it("counts frames of another incarnation and goes on", async () => {
    const frames = [0, 1, 2].map((epoch) =>
      encodeRaw(fromWorkerTypes.aborted, epoch, { id: epoch }),
    );
    const hex = Buffer.concat(frames).toString("hex");
    const { exited, seen } = run(
      `import fs from 'node:fs'; fs.writeSync(3, Buffer.from('${hex}', 'hex'))`,
    );
    await exited;
    expect(seen.filter((event) => event !== "closed")).toEqual(["spawned", "aborted", "stale 2"]);
  });

  it("has our environment, and what it is told before it", async () => {
    vi.stubEnv("MLX_SERVING_NATIVE", "on");
    vi.stubEnv("MLX_SERVING_NATIVE_PARTS", "pool");
    vi.stubEnv("MLX_SERVING_MODEL", "kept");
    const lines: string[] = [];
    const script =
      "const { MLX_SERVING_NATIVE: a, MLX_SERVING_MODEL: b } = process.env;" +
      "console.log(a, b, 'MLX_SERVING_NATIVE_PARTS' in process.env)";
    const env = nativeEnvironment({ native: "off", nativeParts: undefined });
    await run(script, (line) => lines.push(line), env).exited;
    expect(lines).toEqual(["off kept false"]);
  });

  it("dies by our signal", async () => {
    const worker = run("setInterval(() => undefined, 1000)");
    await expect.poll(() => worker.seen).toContain("spawned");
    worker.kill();
    expect(await worker.exited).toMatchObject({ signal: "SIGKILL" });
  });
});
