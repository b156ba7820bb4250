/** npm passes SIGTERM to its shell, which dies of it: the program notices that its parent has gone. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { commandLine } from "../../../setup/paths.mjs";
import { environmentFolder } from "../../../setup/python.mjs";
import { followParent, isRunByNpm, type Told } from "../../../src-ts/cli/parent.js";

const npx = { npm_lifecycle_event: "npx", npm_lifecycle_script: "'mlx-serving'" };
const run = (script: string) => ({ npm_lifecycle_event: "start", npm_lifecycle_script: script });

describe("run by npm, which waits", () => {
  it.each([
    [npx, true],
    [{ ...npx, npm_lifecycle_script: "mlx-serving" }, true],
    [{ ...npx, npm_lifecycle_script: "mlx-serving@0.1.0" }, true],
    [run("mlx-serving serve --port 9001"), true],
    [run("NODE_ENV=production node_modules/.bin/mlx-serving serve"), true],
    [run("tsc && mlx-serving serve > log 2>&1"), true],
    [run('concurrently "mlx-serving serve" "vite"'), true],
    [run("mlx-serving serve &"), false],
    [run("mlx-serving serve > log 2>&1 & echo $! > pid"), false],
    [run("nohup mlx-serving serve"), false],
    [run("setsid mlx-serving serve"), false],
    [run("node start-my-servers.js"), false],
    [run("exec node setup/clone/main.mjs --run serve"), false],
    [{ npm_lifecycle_script: "mlx-serving serve" }, false],
    [{}, false],
  ])("%j: %s", (env, expected) => {
    expect(isRunByNpm(env)).toBe(expected);
  });
});

describe("a parent that goes", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  /** What the system tells of the parent, one look after the other; the last for good. */
  const follow = (
    env: NodeJS.ProcessEnv,
    ids: number[],
    first = 100,
    told: (Told | undefined)[] = [npmItself],
    tellsCheaply = true,
  ) => {
    const gone = vi.fn();
    const tell = () => (told.length > 1 ? told.shift() : told[0]);
    const parent = { env, id: () => ids.shift() ?? 1, tell, tellsCheaply };
    const stop = followParent(gone, parent, first);
    return { gone, stop };
  };
  const stays = Array.from({ length: 100 }, () => 100);
  const npmItself = { command: "npm exec mlx-serving serve", parent: 50 };
  const shell = { command: "sh -c 'mlx-serving' serve", parent: 90 };
  const inherited = { ...shell, parent: 1 };

  it("is noticed once", () => {
    const { gone } = follow(npx, [100, 100, 1]);
    vi.advanceTimersByTime(1_400);
    expect(gone).not.toHaveBeenCalled();
    vi.advanceTimersByTime(10_000);
    expect(gone).toHaveBeenCalledOnce();
  });

  it("may be inherited by another process than the first", () => {
    const { gone } = follow(npx, [100, 731, 731]);
    vi.advanceTimersByTime(2_000);
    expect(gone).toHaveBeenCalledOnce();
  });

  it("is noticed where it went before anybody looked", () => {
    const { gone } = follow(npx, [], 1, [{ command: "/sbin/init splash", parent: 0 }]);
    vi.advanceTimersByTime(1_000);
    expect(gone).toHaveBeenCalledOnce();
  });

  it("has gone too where npm was killed and its shell waits for us", () => {
    const { gone } = follow(npx, [...stays], 100, [shell, shell, inherited]);
    vi.advanceTimersByTime(600);
    expect(gone).not.toHaveBeenCalled();
    vi.advanceTimersByTime(10_000);
    expect(gone).toHaveBeenCalledOnce();
  });

  it.each([
    ["npm's parent may go as it likes", [npmItself, { ...npmItself, parent: 1 }], true],
    ["nobody can be told of", [undefined], true],
    ["that costs too much to ask again", [shell, inherited], false],
  ])("stays where %s", (_, told, tellsCheaply) => {
    const { gone } = follow(npx, [...stays], 100, told, tellsCheaply);
    vi.advanceTimersByTime(10_000);
    expect(gone).not.toHaveBeenCalled();
  });

  it.each([
    ["where a daemon is made", run("mlx-serving serve &"), 100, npmItself],
    ["where npm has nothing to do with it", {}, 100, npmItself],
    ["where it is the first process itself", npx, 1, npmItself],
    ["where the first process can't be told of", npx, 1, undefined],
    ["where the first process is npm's shell", npx, 1, shell],
  ])("is nothing %s", (_, env, first, told) => {
    const { gone } = follow(env, [], first, [told]);
    vi.advanceTimersByTime(10_000);
    expect(gone).not.toHaveBeenCalled();
  });

  it("is nothing to whoever no longer follows", () => {
    const { gone, stop } = follow(npx, []);
    stop();
    vi.advanceTimersByTime(10_000);
    expect(gone).not.toHaveBeenCalled();
  });
});

describe("a shell of npm's that is terminated", () => {
  let cwd: string;
  beforeEach(() => {
    cwd = mkdtempSync(join(tmpdir(), "mlx-serving-parent-"));
  });
  afterEach(() => rmSync(cwd, { recursive: true }));

  /** As npm does it; the shell has more to do, so that it can't leave its place to our program. */
  function startUnderShell(args: string, { underNpm = false } = {}) {
    const command = `'${process.execPath}' '${commandLine}' ${args}; exit $?`;
    // What npm does, and no more.
    const script = `require("node:child_process").spawn("sh", ["-c", process.argv[1]], { stdio: "inherit" })`;
    const [program, ...given] = underNpm
      ? [process.execPath, "-e", script, command]
      : ["sh", "-c", command];
    const shell = spawn(program!, given, {
      cwd,
      env: {
        ...process.env,
        ...npx,
        MLX_SERVING_CACHE: join(cwd, "cache"),
        MLX_SERVING_PYTHON_ENV: environmentFolder(),
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const said = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const)
      shell[name].setEncoding("utf8").on("data", (text) => {
        said[name] += text;
      });
    // The pipes end with the last process that has them: the server and its workers.
    const ended = new Promise<void>((resolve) => shell.once("close", () => resolve()));
    return { shell, said, ended };
  }

  it("takes the server with it, by a drain", async () => {
    const { shell, said, ended } = startUnderShell("serve --engine fake --port 0");
    await vi.waitUntil(() => said.stdout.includes("mlx-serving ready on"), { timeout: 30_000 });
    shell.kill("SIGTERM");
    await ended;
    expect(said.stderr).toContain('"signal":"the end of npm"');
  });

  it.runIf(process.platform === "linux")(
    "and has lost the npm above it takes the server with it",
    async () => {
      const starting = startUnderShell("serve --engine fake --port 0", { underNpm: true });
      await vi.waitUntil(() => starting.said.stdout.includes("mlx-serving ready on"), {
        timeout: 30_000,
      });
      starting.shell.kill("SIGKILL");
      await starting.ended;
      expect(starting.said.stderr).toContain('"signal":"the end of npm"');
    },
  );

  it("takes a command with it that does nothing about SIGTERM", async () => {
    await using silent = createServer((socket) => socket.resume()).listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    const { shell, said, ended } = startUnderShell(`bench --url http://127.0.0.1:${port}`);
    await once(silent, "connection");
    shell.kill("SIGTERM");
    await ended;
    expect(said).toEqual({ stdout: "", stderr: "" });
  });
}, 60_000);
