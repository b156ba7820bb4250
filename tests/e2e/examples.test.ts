/**
 * Every program in examples/ compiles, and says what it should to a model that plays examples/script.json. Pages are
 * in tests/console; what needs packages of its own is run by `npm run clients`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { run } from "../../setup/process.mjs";
import { examples, makeExample } from "./support/example-project.js";
import { ensurePythonClient } from "./support/python-client.js";
import { type ServerProcess, startServer } from "./support/server.js";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const terminal = fileURLToPath(new URL("support/terminal.py", import.meta.url));
let server: ServerProcess;
let socketUrl: string;

beforeAll(async () => {
  const script = join(examples, "script.json");
  const flags = ["--engine", "fake", "--fake-script", script];
  // Slow enough for a long answer to be ended in its middle.
  server = await startServer({ flags: [...flags, "--fake-tokens-per-second", "400"] });
  socketUrl = server.url.replace("http", "ws");
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

const answer = "Oslo is grey, Rome is blue: pack an umbrella and sunglasses.";
const blue = "Air scatters blue light more than red, so blue comes from everywhere.";
const looked = ['[weather] {"city":"Oslo","sky":"grey"}', '[weather] {"city":"Rome","sky":"blue"}'];

/** Lines without the empty ones. */
const linesOf = (output: string) => output.split("\n").filter((line) => line !== "");

/** What a program has printed, as far as it has come. */
function listen(child: ChildProcess): { text: string; until(looks: RegExp): Promise<void> } {
  const heard = {
    text: "",
    async until(looks: RegExp) {
      while (!looks.test(heard.text)) await once(child.stdout!, "data");
    },
  };
  child.stdout!.on("data", (chunk) => {
    heard.text += chunk;
  });
  return heard;
}

describe("TypeScript", () => {
  it("runs tools, and reads an answer as a value", async () => {
    await using project = await makeExample("typescript");
    const lines = linesOf(await project.run("agent.js", socketUrl));
    expect(lines).toEqual(["Let me look.", ...looked, answer, "2 turns, 2 calls"]);
    expect(linesOf(await project.run("structured.js", socketUrl))).toEqual([
      "Fri May 01 2026: umbrella, sunglasses",
    ]);
  });
});

describe("Node", () => {
  it("streams an answer, ends it at Ctrl-C, and says what is wrong", async () => {
    await using project = await makeExample("node");
    expect(linesOf(await project.run("stream.mjs", server.url))).toMatchObject([
      blue,
      expect.stringMatching(/^\[completed, \d+ tokens\]$/),
    ]);
    const program = join(project.folder, "stream.mjs");
    const child = spawn(process.execPath, [program, server.url, "A", "long", "story"]);
    const heard = listen(child);
    await heard.until(/\w/);
    child.kill("SIGINT");
    const [code] = await once(child, "close");
    expect(linesOf(heard.text).at(-1)).toMatch(/^\[cancelled, \d+ tokens\]$/);
    expect(code).toBe(0);
    await expect(project.run("stream.mjs", "http://127.0.0.1:1")).rejects.toMatchObject({
      tail: [expect.stringMatching(/^connection_refused: /)],
    });
  });
});

describe("ReScript", () => {
  it("runs tools, and draws the machines while the server runs", async () => {
    await using project = await makeExample("rescript");
    const lines = linesOf(await project.run("src/Agent.res.mjs", socketUrl));
    expect(lines).toEqual(["Let me look.", ...looked, answer, "2 turns, 2 calls"]);

    const program = join(project.folder, "src", "Watch.res.mjs");
    const python = await ensurePythonClient();
    const [drawn, listed] = await Promise.all([
      run(python, [terminal, "ready ", process.execPath, program, server.url]),
      listMachines(program),
    ]);
    // A screen of its own, with the worker in one of its states, and the user's own afterwards.
    const drawing = drawn.replaceAll("\u001b[", "^");
    expect(drawing).toMatch(/^\^\?1049h.*starting.* › .*\^1;7m ready \^.*\^\?1049l$/s);
    expect(listed).toMatch(/^worker w1: ready, epoch 1$/m);
    expect(listed).toMatch(
      /^request resp_\w+: arrived 0 ms › .*dispatched .* › decoding .* › ended \d+ ms, \d+ tokens$/m,
    );
  });

  /** Into a pipe, until it has told of a request; then it ends as it should. */
  async function listMachines(program: string): Promise<string> {
    const child = spawn(process.execPath, [program, server.url]);
    const heard = listen(child);
    await heard.until(/^worker w1/m);
    await fetch(`${server.url}/v1/responses`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ input: "Why is the sky blue?" }),
    });
    await heard.until(/ended .* tokens\n/);
    child.kill("SIGINT");
    const [code] = await once(child, "close");
    expect(code).toBe(0);
    return heard.text;
  }
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

describe("curl", () => {
  it("streams, keeps to a schema, cancels", async () => {
    const output = await run("sh", [join(examples, "curl", "ask.sh"), server.url]);
    const [models, chat, data, background] = output.split(/^# .*\n/m).slice(1);
    expect(models!.trim()).toBe("smollm2-135m-instruct");
    const chunks = linesOf(chat!).map((line) => line.replace(/^data: /, ""));
    expect(chunks.pop()).toBe("[DONE]");
    const text = chunks.map((chunk) => JSON.parse(chunk).choices[0]?.delta.content ?? "").join("");
    expect(text).toBe(blue);
    expect(JSON.parse(data!)).toEqual({ items: ["umbrella", "sunglasses"], leaving: "2026-05-01" });
    expect(background!.trim()).toBe("cancelled");
  });
});

it("all of them are run here, in tests/console, or by npm run clients", async () => {
  const entries = await readdir(examples, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const pages = ["react", "web"];
  const clients = ["ai-sdk", "langchain"];
  const here = ["curl", "node", "python", "rescript", "typescript"];
  expect(folders.sort()).toEqual([...here, ...pages, ...clients].sort());
  for (const folder of here) {
    const files = await readdir(join(examples, folder), { recursive: true });
    expect(files, folder).toContain("README.md");
  }
});
