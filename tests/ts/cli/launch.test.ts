/** Stand-ins for the agents record what they were started with; the real ones run in `npm run clients`. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { freePort } from "../../../scripts/lib/processes.mjs";
import { Program } from "./program.js";

const key = "key-of-the-launch-tests";
const names = ["codex", "claude", "opencode", "qwen", "pi"] as const;
type AgentName = (typeof names)[number];

/** Ends as it is told by its last argument. `wait`: by a signal, and says that it is there. */
const standIn = `#!${process.execPath}
const { readFileSync, writeFileSync } = require("node:fs");
const args = process.argv.slice(2);
const extension = args[args.indexOf("--extension") + 1];
const read = args.includes("--extension") ? readFileSync(extension, "utf8") : null;
writeFileSync(process.env.RECORD, JSON.stringify({ name: require("node:path").basename(__filename), args, extension: read, env: process.env }));
const last = args.at(-1) ?? "";
if (last === "wait") { process.on("SIGTERM", () => process.exit(7)); console.log("waiting"); setInterval(() => {}, 1000); }
else if (last === "kill") process.kill(process.pid, "SIGKILL");
else process.exit(Number(last.replace("exit-", "")) || 0);
`;

interface Recorded {
  name: string;
  args: string[];
  extension: string | null;
  env: Record<string, string>;
}

let cwd: string;
let bin: string;
let home: string;
let record: string;
let server: Program;
let url: string;

beforeAll(async () => {
  cwd = mkdtempSync(join(tmpdir(), "mlx-serving-launch-test-"));
  bin = join(cwd, "bin");
  home = join(cwd, "home");
  record = join(cwd, "record.json");
  for (const folder of [bin, home]) mkdirSync(folder);
  for (const name of names) writeFileSync(join(bin, name), standIn, { mode: 0o755 });
  writeFileSync(join(cwd, "keys.txt"), `${key}\n`);
  writeFileSync(join(cwd, "other-keys.txt"), "another-key-that-is-unknown\n");
  const keys = ["--api-key-file", join(cwd, "keys.txt")];
  server = new Program(["serve", "--engine", "fake", "--port", "0", ...keys], { cwd });
  url = await server.ready();
});
beforeEach(() => rmSync(record, { force: true }));
afterAll(async () => {
  server?.kill("SIGTERM");
  await server?.finished;
  rmSync(cwd, { recursive: true });
});

function launch(args: readonly string[], env: Record<string, string> = {}): Program {
  const path = { PATH: [bin, process.env.PATH].join(delimiter), HOME: home, RECORD: record };
  return new Program(["launch", ...args], { cwd, env: { ...path, ...env } });
}

const recorded = () => JSON.parse(readFileSync(record, "utf8")) as Recorded;
const model = "smollm2-135m-instruct";
const withKey = () => ["--url", url, "--api-key-file", join(cwd, "keys.txt")];

/** Of one run: what was started, with what. */
async function started(name: AgentName, args: readonly string[] = []): Promise<Recorded> {
  const { code, stderr } = await launch([...withKey(), name, "--", ...args]).finished;
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining(url) });
  return recorded();
}

describe("each agent is pointed at the server", () => {
  it("codex: by -c flags, the key in a variable", async () => {
    const { args, env } = await started("codex", ["exec", "--json"]);
    expect(args.slice(-2)).toEqual(["exec", "--json"]);
    const settings = args.slice(0, -2).filter((one) => one !== "-c");
    expect(args.filter((one) => one === "-c")).toHaveLength(settings.length);
    expect(settings).toContain('model_provider="mlx-serving"');
    expect(settings).toContain(`model_providers.mlx-serving.base_url="${url}/v1"`);
    expect(settings).toContain('model_providers.mlx-serving.wire_api="responses"');
    expect(settings).toContain("model_providers.mlx-serving.supports_websockets=true");
    expect(settings).toContain(`model="${model}"`);
    const variable = /env_key="([^"]*)"/.exec(settings.join(" "))![1]!;
    expect(env[variable]).toBe(key);
    expect(settings.join(" ")).toMatch(/model_context_window=[1-9]\d+/);
  });

  it("claude: by variables, without the user's own key", async () => {
    const own = { ANTHROPIC_API_KEY: "sk-of-the-user" };
    const { code } = await launch([...withKey(), "claude", "--", "-p", "hi"], own).finished;
    expect(code).toBe(0);
    const { args, env } = recorded();
    expect(args).toEqual(["-p", "hi"]);
    expect(env).toMatchObject({ ANTHROPIC_BASE_URL: url, ANTHROPIC_AUTH_TOKEN: key });
    expect(env).toMatchObject({ ANTHROPIC_MODEL: model, ANTHROPIC_DEFAULT_HAIKU_MODEL: model });
    expect(env).not.toHaveProperty("ANTHROPIC_API_KEY");
  });

  it("opencode: by a configuration in a variable", async () => {
    const { args, env } = await started("opencode", ["run", "hi"]);
    expect(args).toEqual(["run", "hi"]);
    const config = JSON.parse(env.OPENCODE_CONFIG_CONTENT!);
    expect(config).toMatchObject({
      model: `mlx-serving/${model}`,
      small_model: `mlx-serving/${model}`,
    });
    const provider = config.provider["mlx-serving"];
    expect(provider.options).toEqual({ baseURL: `${url}/v1`, apiKey: key });
    const { context, output } = provider.models[model].limit;
    expect(output).toBeLessThan(context);
  });

  it("qwen: by flags, the key in a variable", async () => {
    const { args, env } = await started("qwen", ["--yolo", "hi"]);
    const own = ["--auth-type", "openai", "--openai-base-url", `${url}/v1`, "--model", model];
    expect(args).toEqual([...own, "--yolo", "hi"]);
    expect(env).toMatchObject({ OPENAI_API_KEY: key, OPENAI_MODEL: model });
  });

  it("pi: by an extension in a file that is gone afterwards", async () => {
    const { args, env, extension } = await started("pi", ["-p", "hi"]);
    expect(args.slice(2)).toEqual(["--model", `mlx-serving/${model}`, "-p", "hi"]);
    expect(extension).toContain(`"baseUrl":"${url}/v1"`);
    const variable = /"apiKey":"(\w+)"/.exec(extension!)![1]!;
    expect(env[variable]).toBe(key);
    expect(existsSync(args[1]!)).toBe(false);
  });

  it.each(names)(
    "%s: no key on its command line or in a file, nothing in the home folder",
    async (name) => {
      const { args, extension } = await started(name);
      expect(`${args.join(" ")} ${extension}`).not.toContain(key);
      expect(readdirSync(home)).toEqual([]);
    },
  );
});

describe("the agent's end", () => {
  it.each([
    ["exit-0", 0],
    ["exit-3", 3],
    ["exit-201", 201],
    ["kill", 137],
  ])("%s is passed on", async (how, code) => {
    expect((await launch([...withKey(), "codex", how]).finished).code).toBe(code);
  });

  it("waits for an agent that was asked to end", async () => {
    const program = launch([...withKey(), "pi", "wait"]);
    await new Promise((resolve) => program.child.stdout.once("data", resolve));
    program.kill("SIGINT");
    program.kill("SIGTERM");
    expect((await program.finished).code).toBe(7);
  });
});

describe("the server", () => {
  it("is started where there is none, and has gone afterwards", async () => {
    const port = String(await freePort());
    const env = { MLX_SERVING_PORT: port, MLX_SERVING_ENGINE: "fake" };
    const { code, stderr } = await launch(["qwen", "exit-4"], env).finished;
    expect({ code, stderr }).toEqual({
      code: 4,
      stderr: expect.stringContaining(" on http://127.0.0.1:"),
    });
    const { args, env: given } = recorded();
    expect(given.OPENAI_API_KEY).toBe("none");
    const own = args[args.indexOf("--openai-base-url") + 1]!;
    await expect(fetch(`${own}/models`)).rejects.toThrow();
  });

  it("isn't started with a model that is too small", async () => {
    const env = {
      MLX_SERVING_PORT: String(await freePort()),
      MLX_SERVING_CACHE: join(cwd, "none"),
    };
    const { code, stderr } = await launch(["codex"], env).finished;
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringContaining("mlx-serving models add"),
    });
    expect(existsSync(record)).toBe(false);
  });

  it("is found on the usual port", async () => {
    const env = { MLX_SERVING_PORT: new URL(url).port };
    const keys = ["--api-key-file", join(cwd, "keys.txt")];
    const { code, stderr } = await launch([...keys, "pi"], env).finished;
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.not.stringContaining("starting") });
  });

  it("may be named with the path that other clients want", async () => {
    for (const path of ["/", "/v1", "/v1/"]) {
      const args = ["--url", `${url}${path}`, "--api-key-file", join(cwd, "keys.txt"), "claude"];
      expect((await launch(args).finished).code).toBe(0);
      expect(recorded().env.ANTHROPIC_BASE_URL).toBe(url);
    }
  });
});

describe("what is wrong is said in one sentence", () => {
  let other: Server;
  let otherUrl: string;
  beforeAll(async () => {
    other = createServer((_, response) => response.end('{"data":[{"id":"m","owned_by":"vllm"}]}'));
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    otherUrl = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
  });
  afterAll(() => new Promise((resolve) => other.close(resolve)));

  /** stderr, without the name of the program. */
  async function problem(args: readonly string[], env: Record<string, string> = {}) {
    const { code, stdout, stderr } = await launch(args, env).finished;
    expect(stdout).toBe("");
    expect(stderr).toMatch(/^mlx-serving: .*\n$/);
    expect(existsSync(record)).toBe(false);
    return { code, text: stderr };
  }

  it("an unknown agent: the five are named", async () => {
    const { code, text } = await problem([...withKey(), "cursor"]);
    expect(code).toBe(2);
    expect(text).toContain("codex, claude, opencode, qwen, pi");
  });

  it("no agent, and a flag that is none", async () => {
    expect((await problem([])).code).toBe(2);
    const { code, text } = await problem(["--yolo", "qwen"]);
    expect({ code, text }).toEqual({ code: 2, text: expect.stringContaining("--yolo") });
  });

  it.each(names)("%s is not installed: the command that installs it", async (name) => {
    const { code, text } = await problem([...withKey(), name], { PATH: home });
    expect(code).toBe(1);
    expect(text).toMatch(/is not installed.*npm install -g @?\S+/);
  });

  it("a server that isn't ours, on the usual port and named", async () => {
    const usual = await problem(["pi"], { MLX_SERVING_PORT: new URL(otherUrl).port });
    expect(usual).toEqual({ code: 1, text: expect.stringContaining("is not mlx-serving") });
    const named = await problem(["--url", otherUrl, "pi"]);
    expect(named).toEqual({ code: 1, text: expect.stringContaining("is not mlx-serving") });
  });

  it("nobody at the address, and what is no address", async () => {
    const nowhere = `http://127.0.0.1:${await freePort()}`;
    const { code, text } = await problem(["--url", nowhere, "pi"]);
    expect({ code, text }).toEqual({ code: 1, text: expect.stringContaining(nowhere) });
    for (const address of ["nonsense", "ftp://127.0.0.1/"]) {
      const refused = await problem(["--url", address, "pi"]);
      expect(refused).toEqual({ code: 2, text: expect.stringContaining("--url") });
    }
  });

  it("a key that is missing, and one that is unknown", async () => {
    const missing = await problem(["--url", url, "pi"]);
    expect(missing).toEqual({ code: 1, text: expect.stringContaining("--api-key-file") });
    const unknown = await problem([
      "--url",
      url,
      "--api-key-file",
      join(cwd, "other-keys.txt"),
      "pi",
    ]);
    expect(unknown).toEqual({ code: 1, text: expect.stringContaining("not known") });
  });

  it("a model that isn't served: those that are", async () => {
    const { code, text } = await problem([...withKey(), "--model", "absent", "pi"]);
    expect(code).toBe(2);
    expect(text).toMatch(/"absent"; there is smollm2-135m-instruct/);
  });
});
