/** Every program in examples/ compiles, and says what it should to a model that plays examples/script.json. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { run } from "../../setup/process.mjs";
import { compileExample, examples } from "./support/example-project.js";
import { ensurePythonClient } from "./support/python-client.js";
import { type ServerProcess, startServer } from "./support/server.js";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let server: ServerProcess;
let socketUrl: string;

beforeAll(async () => {
  const script = join(examples, "script.json");
  server = await startServer({ flags: ["--engine", "fake", "--fake-script", script] });
  socketUrl = server.url.replace("http", "ws");
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

const answer = "Oslo is grey, Rome is blue: pack an umbrella and sunglasses.";
const looked = ['[weather] {"city":"Oslo","sky":"grey"}', '[weather] {"city":"Rome","sky":"blue"}'];

/** Lines without the empty ones. */
const linesOf = (output: string) => output.split("\n").filter((line) => line !== "");

describe("TypeScript", () => {
  it("runs tools, and reads an answer as a value", async () => {
    await using project = await compileExample("typescript");
    const lines = linesOf(await project.run("agent.js", socketUrl));
    expect(lines).toEqual(["Let me look.", ...looked, answer, "2 turns, 2 calls"]);
    expect(linesOf(await project.run("structured.js", socketUrl))).toEqual([
      "Fri May 01 2026: umbrella, sunglasses",
    ]);
  });
});

describe("ReScript", () => {
  it("runs tools", async () => {
    await using project = await compileExample("rescript");
    const lines = linesOf(await project.run("src/Agent.res.mjs", socketUrl));
    expect(lines).toEqual(["Let me look.", ...looked, answer, "2 turns, 2 calls"]);
  });
});

describe("Python", () => {
  it("runs tools with the official client", async () => {
    const python = await ensurePythonClient();
    const program = join(examples, "python", "agent.py");
    const lines = linesOf(await run(python, [program, server.url]));
    expect(lines.map((line) => line.replaceAll('": "', '":"').replaceAll('", "', '","'))).toEqual([
      ...looked,
      answer,
    ]);
  });
});

it("all of them are run here", async () => {
  const files = await readdir(examples, { recursive: true });
  const programs = files.filter((file) => /agent|structured/i.test(file));
  expect(programs.sort()).toEqual([
    "python/agent.py",
    "rescript/src/Agent.res",
    "typescript/agent.ts",
    "typescript/structured.ts",
  ]);
});
