import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { environmentFolder, interpreterOf } from "../../../setup/python.mjs";
import { Program } from "./program.js";

let cwd: string;
let programs: Program[];
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), "mlx-serving-serve-"));
  programs = [];
});
afterEach(async () => {
  for (const program of programs) program.kill("SIGKILL");
  await Promise.all(programs.map(({ finished }) => finished));
  rmSync(cwd, { recursive: true });
});

function serve(args: readonly string[] = [], env = {}): Program {
  const program = new Program(["serve", "--engine", "fake", "--port", "0", ...args], { cwd, env });
  programs.push(program);
  return program;
}

async function workerPids(url: string): Promise<number[]> {
  const response = await fetch(`${url}/admin/workers`);
  return ((await response.json()) as { pid: number }[]).map(({ pid }) => pid);
}

/** Resolves when none of the processes exists any more. */
async function gone(pids: readonly number[]): Promise<void> {
  while (pids.some(exists)) await new Promise((resolve) => setTimeout(resolve, 10));
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Starts an answer of `tokens` tokens and resolves with a promise of its text once it has begun. */
async function startAnswer(url: string, tokens: number): Promise<{ text: Promise<string> }> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      messages: [{ role: "user", content: "hello" }],
      max_tokens: tokens,
      stream: true,
    }),
  });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = (await reader.read()).value ?? "";
  const rest = async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return text;
      text += value;
    }
  };
  const result = rest();
  // Looked at later; until then a broken stream is no unhandled rejection.
  result.catch(() => {});
  return { text: result };
}

it("takes no module of the folder that it is started in for Python's", async () => {
  for (const name of ["json", "random", "msgpack"])
    writeFileSync(join(cwd, `${name}.py`), "raise RuntimeError('not yours')");
  const url = await serve(["--no-build"]).ready();
  expect((await fetch(`${url}/ready`)).status).toBe(200);
});

describe("start", () => {
  it("prints exactly one line on stdout, and logs on stderr", async () => {
    const program = serve();
    const url = await program.ready();
    expect((await fetch(`${url}/health`)).status).toBe(200);
    expect((await fetch(`${url}/ready`)).status).toBe(200);
    program.kill("SIGTERM");
    const { code, stdout, stderr } = await program.finished;
    expect(code).toBe(0);
    expect(stdout).toMatch(/^mlx-serving ready on http:\/\/127\.0\.0\.1:\d+\n$/);
    for (const line of stderr.trim().split("\n")) expect(JSON.parse(line)).toHaveProperty("msg");
  });

  it("takes options from variables", async () => {
    const program = serve([], { MLX_SERVING_MODEL: "my/model" });
    const url = await program.ready();
    const { data } = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
    expect(data.map(({ id }) => id)).toEqual(["my/model"]);
  });

  it("warns of variables that mean nothing", async () => {
    const program = serve([], { MLX_SERVING_PROT: "1" });
    await program.ready();
    expect(program.stderr).toContain("MLX_SERVING_PROT means nothing");
  });

  it("asks for a key when there is a key file", async () => {
    writeFileSync(join(cwd, "keys"), "secret # of a test\n");
    const url = await serve(["--api-key-file", "keys"]).ready();
    expect((await fetch(`${url}/v1/models`)).status).toBe(401);
    const headers = { authorization: "Bearer secret" };
    expect((await fetch(`${url}/v1/models`, { headers })).status).toBe(200);
  });
});

describe("native parts", () => {
  interface Native {
    parts: Record<string, { on: boolean; reason: string | null; applicable: boolean }>;
    metrics: { completedRequests: number } | null;
    pool: object | null;
  }

  async function nativeOf(url: string): Promise<Native> {
    const [worker] = (await (await fetch(`${url}/admin/workers`)).json()) as { native: Native }[];
    return worker!.native;
  }

  /** An environment without krserve_native, whose Python writes a line to `starts` each time it starts. */
  function withoutNative(): { env: Record<string, string>; starts: string } {
    const [folder, starts] = [join(cwd, "environment"), join(cwd, "starts")];
    const hide = "import runpy, sys; sys.modules['krserve_native'] = None";
    const run = "runpy.run_module('mlx_serving', run_name='__main__', alter_sys=True)";
    mkdirSync(join(folder, "bin"), { recursive: true });
    writeFileSync(
      join(folder, "bin", "python"),
      `#!/bin/sh
echo start >> '${starts}'
# Behind -u -m mlx_serving come the worker's own arguments.
shift 3
exec '${interpreterOf(environmentFolder())}' -u -c "${hide}; ${run}" "$@"
`,
      { mode: 0o755 },
    );
    return { env: { MLX_SERVING_PYTHON_ENV: folder }, starts };
  }

  it("that are required and missing end it with 2 and say so, after one try", async () => {
    const { env, starts } = withoutNative();
    const program = serve(["--native", "on", "--native-parts", "pool"], env);
    const { code, stdout, stderr } = await program.finished;
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr.trim().split("\n").at(-1)).toMatch(
      /^mlx-serving: model \S+: native part pool is required but off: krserve_native /,
    );
    expect(readFileSync(starts, "utf8")).toBe("start\n");
  });

  it("that are missing and not required are named, and it serves", async () => {
    const { env } = withoutNative();
    const { parts } = await nativeOf(await serve(["--native-parts", "metrics"], env).ready());
    expect(parts.metrics).toEqual({
      on: false,
      reason: expect.stringContaining("krserve_native"),
      applicable: true,
      missing: true,
    });
    expect(parts.pool?.reason).toBe("not among --native-parts");
  });

  it.each([
    [["--native", "off"], {}],
    [[], { MLX_SERVING_NATIVE: "0" }],
    [["--native", "0"], { MLX_SERVING_NATIVE: "1", MLX_SERVING_NATIVE_PARTS: "all" }],
  ])("are off by %j and %j", async (flags, env) => {
    const { parts } = await nativeOf(await serve(flags, env).ready());
    for (const { on, reason } of Object.values(parts))
      expect({ on, reason }).toEqual({
        on: false,
        reason: "turned off by --native or MLX_SERVING_NATIVE",
      });
  });

  it("or not, a worker's requests are counted, for operators and Prometheus", async () => {
    const url = await serve(["--native", "off"]).ready();
    const { text } = await startAnswer(url, 5);
    await text;
    while ((await nativeOf(url)).metrics?.completedRequests !== 1)
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect((await nativeOf(url)).pool).toBeNull();
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain(
      'mlx_serving:worker_requests_total{worker="w1",outcome="completed"} 1',
    );
    expect(metrics).toContain('mlx_serving:native_part{worker="w1",part="pool"} 0');
    expect(metrics).toMatch(/worker_request_latency_seconds\{worker="w1",quantile="0.5"\} 0\.\d/);
  });
});

describe("stop", () => {
  it.each(["SIGTERM", "SIGINT"] as const)(
    "%s: exit code 0, and no process remains",
    async (signal) => {
      const program = serve(["--workers", "2"]);
      const pids = await workerPids(await program.ready());
      expect(pids).toHaveLength(2);
      program.kill(signal);
      expect(await program.finished).toMatchObject({ code: 0, signal: null });
      await gone(pids);
    },
  );

  it("while starting: exit code 0, and no ready line", async () => {
    const program = serve();
    await new Promise((resolve) => program.child.once("spawn", resolve));
    // Node has installed the handlers once the program has logged, or has not begun: both are a stop.
    program.kill("SIGTERM");
    const { code, signal, stdout } = await program.finished;
    expect(stdout).toBe("");
    expect(code === 0 || signal === "SIGTERM").toBe(true);
  });

  it("lets a running answer end", async () => {
    const program = serve(["--fake-tokens-per-second", "50"]);
    const answer = await startAnswer(await program.ready(), 25);
    program.kill("SIGTERM");
    expect(await answer.text).toContain("data: [DONE]");
    expect(await program.finished).toMatchObject({ code: 0 });
  });

  it("gives up on an answer after the drain timeout", async () => {
    const program = serve(["--fake-tokens-per-second", "10", "--drain-timeout", "200ms"]);
    const answer = await startAnswer(await program.ready(), 4000);
    program.kill("SIGTERM");
    expect(await answer.text).not.toContain("data: [DONE]");
    expect(await program.finished).toMatchObject({ code: 0 });
  });

  it("at once at the second signal, and no process remains", async () => {
    const program = serve(["--fake-tokens-per-second", "10"]);
    const url = await program.ready();
    const pids = await workerPids(url);
    const answer = await startAnswer(url, 4000);
    program.kill("SIGTERM");
    await until(() => program.stderr.includes("stopping"));
    program.kill("SIGTERM");
    expect(await program.finished).toMatchObject({ code: 143 });
    await expect(answer.text).rejects.toThrow();
    await gone(pids);
  });

  it("takes npm's echo of Ctrl-C for the same signal", async () => {
    const program = serve(["--fake-tokens-per-second", "50"], { npm_lifecycle_event: "start" });
    const answer = await startAnswer(await program.ready(), 25);
    program.kill("SIGINT");
    await until(() => program.stderr.includes("stopping"));
    program.kill("SIGINT");
    expect(await answer.text).toContain("data: [DONE]");
    expect(await program.finished).toMatchObject({ code: 0 });
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
