import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { freePort } from "../../../scripts/lib/processes.mjs";
import { Program, shownOnTerminal } from "./program.js";

let cwd: string;
let server: Program;
let url: string;

beforeAll(async () => {
  cwd = mkdtempSync(join(tmpdir(), "mlx-serving-chat-"));
  const options = ["--engine", "fake", "--port", "0", "--fake-tokens-per-second", "100"];
  server = new Program(["serve", ...options], { cwd });
  url = await server.ready();
});
afterAll(async () => {
  server.kill("SIGTERM");
  await server.finished;
  rmSync(cwd, { recursive: true });
});

const chat = (args: readonly string[], env = {}) => new Program(["chat", ...args], { cwd, env });

it("prints the answer of a running server", async () => {
  const once = chat(["--url", url, "--max-tokens", "8", "hello"]).finished;
  const { code, stdout, stderr } = await once;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "(max_output_tokens)\n" });
  expect(stdout.trim().split(/\s+/).length).toBeGreaterThan(4);
  const again = await chat(["--url", url, "--max-tokens", "8", "hello"]).finished;
  expect(again.stdout).toBe(stdout);
});

it("finds the server on the usual port, and takes a piped question", async () => {
  const env = { MLX_SERVING_PORT: new URL(url).port };
  const program = new Program(["chat", "--max-tokens", "4"], { cwd, env, input: "hello\n" });
  const { code, stdout, stderr } = await program.finished;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "(max_output_tokens)\n" });
  expect(stdout).toMatch(/\S+\n$/);
});

it("starts a server where there is none, and takes it down again", async () => {
  const env = { MLX_SERVING_PORT: String(await freePort()), MLX_SERVING_ENGINE: "fake" };
  const { code, stdout, stderr } = await chat(["--max-tokens", "4", "hello"], env).finished;
  // Progress is for terminals.
  expect({ code, stderr }).toEqual({ code: 0, stderr: "(max_output_tokens)\n" });
  expect(stdout).toMatch(/\S+\n$/);
});

it("shows on a terminal that it starts one, and how far that is", async () => {
  const env = { MLX_SERVING_PORT: String(await freePort()), MLX_SERVING_ENGINE: "fake" };
  const shown = await shownOnTerminal(["chat", "--max-tokens", "4", "hello"], { cwd, env });
  const [before, after = ""] = shown.split("starting a worker");
  expect(before).toContain("starting one");
  // The line is taken away before the answer.
  expect(after).toContain("\r\x1b[2K");
  expect(after.split("\r\x1b[2K").at(-1)).toMatch(/\S.*\(max_output_tokens\)/s);
});

it("cancels the answer on Ctrl-C", async () => {
  const program = chat(["--url", url, "--max-tokens", "4000", "hello"]);
  await new Promise((resolve) => program.child.stdout.once("data", resolve));
  program.kill("SIGINT");
  const { code, stderr } = await program.finished;
  expect({ code, stderr }).toEqual({ code: 130, stderr: "(cancelled)\n" });
  const workers = (await (await fetch(`${url}/admin/workers`)).json()) as { running: number }[];
  expect(workers.map(({ running }) => running)).toEqual([0]);
});

it("says in one sentence that there is no server", async () => {
  const nowhere = `http://127.0.0.1:${await freePort()}`;
  const { code, stdout, stderr } = await chat(["--url", nowhere, "hello"]).finished;
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(/^mlx-serving: No connection: .*\n$/);
});

it("says what the server refuses", async () => {
  const { code, stderr } = await chat(["--url", url, "--model", "absent", "hello"]).finished;
  expect(code).toBe(1);
  expect(stderr).toContain("absent");
});
