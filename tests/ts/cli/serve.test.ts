import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
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
