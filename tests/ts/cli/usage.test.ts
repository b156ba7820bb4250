import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { benchCommand } from "../../../src-ts/cli/bench.js";
import { chatCommand } from "../../../src-ts/cli/chat.js";
import { keysCommand } from "../../../src-ts/cli/keys.js";
import { modelsCommand } from "../../../src-ts/cli/models.js";
import { serveCommand } from "../../../src-ts/cli/serve.js";
import { Program, shownOnTerminal } from "./program.js";

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), "mlx-serving-cli-"));
});
afterEach(() => rmSync(cwd, { recursive: true }));

const run = (args: readonly string[], env = {}) => new Program(args, { cwd, env }).finished;

function makeModel(name: string, files: readonly string[]): void {
  mkdirSync(join(cwd, name));
  for (const file of files) writeFileSync(join(cwd, name, file), "{}");
}

describe("usage errors", () => {
  it.each([
    [["serve", "--prot", "1"], "unknown option '--prot' (Did you mean --port?)"],
    [["serve", "--port"], "argument missing"],
    [["serve", "--port", "70000"], "--port must be an integer from 0 to 65,535"],
    [["serve", "extra"], "too many arguments for 'serve'. Expected 0 arguments but got 1; see"],
    [["models", "list", "extra"], "Expected 0 arguments but got 1; see mlx-serving models list"],
    [["models", "remove"], "missing required argument 'id'; see mlx-serving models remove --help."],
    [["bench", "--url"], "argument missing; see mlx-serving bench --help."],
    [["bench", "--concurrency", "x"], "--concurrency"],
    [["sevre"], "unknown command 'sevre' (Did you mean serve?)"],
    [["keys", "lsit"], "unknown command 'lsit' (Did you mean list?); see mlx-serving keys --help."],
    [["models", "ad", "x"], "unknown command 'ad' (Did you mean add?); see mlx-serving models"],
    [["keys", "alice"], "unknown command 'alice'; see mlx-serving keys --help."],
    [["help", "sevre"], "unknown command 'sevre' (Did you mean serve?)"],
    [["doctor", "--jsno"], "unknown option '--jsno' (Did you mean --json?)"],
    [["keys", "list", "--jsno"], "unknown option '--jsno' (Did you mean --json?)"],
    [["completion", "foo"], 'no script for "foo": the shell is bash, zsh or fish, as in'],
    [["completion"], "Which shell? There are scripts for bash, zsh or fish"],
    [["serve", "--host", "0.0.0.0"], "--api-key-file"],
    [["serve", "--host", "0.0.0.0", "--api-key-file", "none"], "API key file none can't be read"],
    [["serve", "--native", "yes"], "--native must be one of auto, on, off (or 1, 0)"],
    [
      ["serve", "--native-parts", "blas,magic"],
      "--native-parts must be some of pool, metrics, blas",
    ],
    [["serve", "--fsync"], "--fsync is about stored responses: give --data-dir too"],
    [
      ["serve", "--engine", "fake", "--data-dir", "/dev/null/x"],
      "--data-dir /dev/null/x can't be used",
    ],
    [["serve", "--config", "none.json"], "none.json does not exist"],
    [["serve", "--model", "absent"], "model absent was not found"],
    [["serve", "--model", "./absent"], "model ./absent was not found"],
    [["chat", "--temperature", "hot", "hi"], "--temperature must be a number from 0 to 2"],
    [["models", "remove", "absent"], "no model absent"],
  ])("%j: exit code 2 and one sentence", async (args, sentence) => {
    const { code, stdout, stderr } = await run(args);
    expect(stderr).toContain(sentence);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toMatch(/[^.,:;?!]\.\n$/);
    expect(stderr).not.toMatch(/[.,:;?!][.,:;]/);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });

  it.each([
    [["serve", "--model", "smollm2-135m-instrct"], "smollm2-135m-instruct"],
    [["models", "remove", "smollm2-135m"], "smollm2-135m-instruct"],
    [["launch", "codx"], "codex"],
  ])("%j: a question about what was meant", async (args, meant) => {
    const { code, stderr } = await run(args);
    expect(stderr).toMatch(new RegExp(`\\. Did you mean ${meant}\\?\\n$`));
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(code).toBe(2);
  });

  it("name the key of the configuration file", async () => {
    writeFileSync(join(cwd, "mlx-serving.config.json"), '{"prot": 1}');
    const { code, stderr } = await run(["serve"]);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: 'mlx-serving: Unknown key "prot" in mlx-serving.config.json. Did you mean port?\n',
    });
  });

  it("name the variable", async () => {
    const { code, stderr } = await run(["serve"], { MLX_SERVING_MAX_BATCH: "many" });
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: 'mlx-serving: MLX_SERVING_MAX_BATCH must be an integer from 1 to 256, not "many".\n',
    });
  });

  it.each([
    ["config.json", ["model.safetensors", "tokenizer.json"]],
    ["weights", ["config.json", "tokenizer.json"]],
    ["tokenizer", ["config.json", "model.safetensors"]],
  ])("name what a model folder lacks: %s", async (part, files) => {
    makeModel("model", files);
    const { code, stderr } = await run(["serve", "--model", "./model"]);
    expect(stderr).toContain(`has no ${part}`);
    expect(code).toBe(2);
  });

  it("name two models of one id", async () => {
    for (const name of ["a", "b"]) {
      mkdirSync(join(cwd, name));
      makeModel(`${name}/model`, ["config.json", "model.safetensors", "tokenizer.json"]);
    }
    const { code, stderr } = await run(["serve", "--model", "a/model", "--model", "b/model"]);
    expect(stderr).toContain("Two models are called model");
    expect(code).toBe(2);
  });
});

it("says that a port is in use, with exit code 1", async () => {
  const holder = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => holder.once("listening", resolve));
  const { port } = holder.address() as AddressInfo;
  const { code, stdout, stderr } = await run(["serve", "--engine", "fake", "--port", `${port}`]);
  holder.close();
  expect(stderr).toContain(`Port ${port} is in use`);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
});

it("prints help and version on stdout, with exit code 0", async () => {
  const version = JSON.parse(readFileSync("package.json", "utf8")).version;
  expect(await run(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: "" });
  const help = await run(["serve", "--help"]);
  expect(help).toMatchObject({ code: 0, stderr: "" });
  expect(help.stdout).toContain("--max-batch <n>");
  // For this project's own tests.
  expect(help.stdout).not.toContain("echo");
  expect((await run(["help", "chat"])).stdout).toContain("Ctrl-C cancels an answer");
});

it("no help has a default that says nothing, or that a flag doesn't take", () => {
  const commands = [serveCommand(), chatCommand(), benchCommand(), keysCommand(), modelsCommand()];
  const all = commands.flatMap((command) => [command, ...command.commands]);
  const text = all.map((command) => command.helpInformation()).join("\n");
  expect(text).toContain("(default: 8088)");
  expect(text).not.toMatch(/default: *(\)|\[|\{|""|undefined|null|true|false)/);
  expect(text).toContain("(default: 10GiB)");
});

it("prints the help on stderr, with exit code 2, when no subcommand is given", async () => {
  const { code, stdout, stderr } = await run([]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain("Usage: mlx-serving");
});

it("colours nothing where nobody sees it", async () => {
  expect((await run(["serve", "--help"])).stdout).not.toContain("\x1b");
  expect((await run(["serve", "--prot"])).stderr).not.toContain("\x1b");
});

describe("models", () => {
  it("adds a folder under an id, lists it, serves no other, and forgets it", async () => {
    makeModel("mine", ["config.json", "model.safetensors", "tokenizer.json"]);
    expect(await run(["models", "add", "./mine", "--id", "my/model"])).toMatchObject({ code: 0 });
    const listed = JSON.parse((await run(["models", "list", "--json"])).stdout);
    expect(listed).toEqual([
      expect.objectContaining({ id: "smollm2-135m-instruct", kind: "embedded", ready: false }),
      expect.objectContaining({ id: "my/model", kind: "folder", ready: true, bytes: 6 }),
    ]);
    const refused = await run(["serve", "--model", "other"]);
    expect(refused.stderr).toContain("not one of smollm2-135m-instruct, my/model");
    expect((await run(["models", "remove", "my/model"])).stdout).toContain("is untouched");
    expect(JSON.parse((await run(["models", "list", "--json"])).stdout)).toHaveLength(1);
    expect(readFileSync(join(cwd, "mine", "config.json"), "utf8")).toBe("{}");
  });

  it("deletes what was downloaded only after a yes", async () => {
    const folder = join("cache", "models", "smollm2-135m-instruct");
    const kept = () => existsSync(join(cwd, folder, "config.json"));
    mkdirSync(join(cwd, folder), { recursive: true });
    writeFileSync(join(cwd, folder, "config.json"), "{}");
    const remove = ["models", "remove", "smollm2-135m-instruct"];

    const { code, stderr } = await run(remove);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/ --yes, .*\.\n$/) });
    for (const answer of ["n\n", "\n", "nyes\n"]) {
      expect(await shownOnTerminal(remove, { cwd, reply: answer })).toMatch(
        /Delete the 2 B of .* was kept\./s,
      );
      expect(kept()).toBe(true);
    }
    expect(await shownOnTerminal(remove, { cwd, reply: "yes\n" })).toContain("Removed the files");
    expect(kept()).toBe(false);

    mkdirSync(join(cwd, folder));
    expect(await run([...remove, "--yes"])).toMatchObject({ code: 0, stderr: "" });
    expect(existsSync(join(cwd, folder))).toBe(false);
    expect(await run(remove)).toMatchObject({ code: 0, stderr: "" });
  });

  it("refuses folders that are no models", async () => {
    makeModel("half", ["config.json"]);
    const { code, stderr } = await run(["models", "add", "./half"]);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringContaining("has no weights"),
    });
  });

  it("says so when its list is damaged", async () => {
    mkdirSync(join(cwd, "cache"));
    writeFileSync(join(cwd, "cache", "models.json"), "[]");
    const { code, stderr } = await run(["models"]);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining("is damaged") });
  });
});

const textOrNull = expect.toSatisfy((value) => value === null || typeof value === "string");

it("build-native says why it can't, and leaves that for a worker to say", async () => {
  const environment = join(cwd, "environment");
  mkdirSync(join(environment, "bin"), { recursive: true });
  writeFileSync(join(environment, "bin", "python"), "");
  const env = { MLX_SERVING_PYTHON_ENV: environment, PATH: join(cwd, "nothing"), CXX: "" };
  const { code, stdout, stderr } = await run(["build-native"], env);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(/Not built: krserve_native: there is no C\+\+ compiler/);
  const note = readFileSync(join(environment, "krserve_native.failed"), "utf8");
  expect(note).toContain("there is no C++ compiler");
});

it("doctor prints the report's shape", async () => {
  const { code, stdout } = await run(["doctor", "--json"]);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toEqual({
    python: {
      path: expect.stringContaining("python"),
      version: expect.stringMatching(/^3\./),
      origin: "named",
      problem: null,
      usable: true,
    },
    versions: expect.objectContaining({
      "mlx-serving": expect.any(String),
      node: process.versions.node,
      mlx: expect.any(String),
    }),
    backend: expect.stringMatching(/^(metal|cuda|cpu)$/),
    device: expect.any(String),
    blas: { on: expect.any(Boolean), name: expect.any(String), reason: textOrNull },
    native: { on: expect.any(Boolean), version: textOrNull, reason: textOrNull },
    prefix_cache_dir: null,
    parts: expect.objectContaining({ pool: expect.objectContaining({ applicable: true }) }),
    mlx_ops: {
      on: expect.any(Boolean),
      version: textOrNull,
      isa: textOrNull,
      threads: expect.toSatisfy((value) => value === null || value > 0),
      reason: textOrNull,
    },
    models: [expect.objectContaining({ id: "smollm2-135m-instruct" })],
  });
});
