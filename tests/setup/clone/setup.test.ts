import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Clone } from "./clone.js";

let clone: Clone;
beforeEach(() => {
  clone = new Clone();
});
afterEach(() => clone.remove());

const titles = (calls: readonly string[]) => calls.map((call) => call.split(" ", 2).join(" "));

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe("a fresh clone", () => {
  it("gets everything once, and nothing the second time", async () => {
    expect(await clone.setUp().finished).toMatchObject({ code: 0, stdout: "" });
    const calls = titles(clone.takeCalls()).sort();
    const native = ["cmake --build", "cmake --install", "cmake -S", "converter -c"];
    expect(calls).toEqual([...native, "converter -m", "npm ci", "uv pip", "uv pip", "uv sync"]);
    expect(clone.has("dist/cli/main.js")).toBe(true);
    expect(clone.has("dist/console/manifest.json")).toBe(true);
    expect(clone.has("src-res/Machine.res.mjs")).toBe(true);
    expect(existsSync(join(clone.model, "config.json"))).toBe(true);
    expect(await clone.setUp().finished).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(clone.takeCalls()).toEqual([]);
  });

  it("whose packages somebody has installed by hand keeps them", async () => {
    const packages = { "node_modules/test-tool": { version: "1.0.0" } };
    clone.write("node_modules/.package-lock.json", JSON.stringify({ packages }));
    clone.write("node_modules/.bin/rescript", "");
    await clone.setUp().finished;
    expect(titles(clone.takeCalls())).not.toContain("npm ci");
  });

  it("that is started gets no packages of tests; they come with what needs them, and stay", async () => {
    const start = () => clone.setUp(["--run", "serve", "--engine", "fake"]).finished;
    const installs = () => clone.takeCalls().filter((call) => call.startsWith("npm ci"));
    const toBuild = [expect.stringContaining(" --workspaces=false")];
    const all = [expect.not.stringContaining("--workspaces")];
    await start();
    expect(installs()).toEqual(toBuild);
    await start();
    expect(installs()).toEqual([]);
    await clone.setUp().finished;
    expect(installs()).toEqual(all);
    await start();
    expect(installs()).toEqual([]);
    clone.write("tests/package.json", '{"name":"clone-tests","version":"2.0.0"}');
    clone.write("package-lock.json", '{"packages":{"node_modules/new":{"version":"1.0.0"}}}');
    await start();
    expect(installs()).toEqual(all);
  });

  it("goes on as the command line, in the same process, with the options", async () => {
    const run = clone.setUp(["--run", "serve", "--port", "9001"]);
    const { code, stdout } = await run.finished;
    expect({ code, stdout }).toEqual({ code: 0, stdout: '["serve","--port","9001"]\n' });
  });

  it("gets no model where none will be served", async () => {
    await clone.setUp(["--run", "serve", "--engine", "fake"]).finished;
    expect(existsSync(clone.model)).toBe(false);
    await clone.setUp(["--run", "serve"]).finished;
    expect(existsSync(clone.model)).toBe(true);
  });

  it("gets no native parts where they are turned off", async () => {
    await clone.setUp(["--run", "serve", "--native", "off"]).finished;
    expect(titles(clone.takeCalls())).not.toContain("cmake --build");
    await clone.setUp(["--run", "serve"]).finished;
    expect(titles(clone.takeCalls())).toContain("cmake --build");
  });

  it("gets no native parts with the fake engine, and all with a later start of the real one", async () => {
    await clone.setUp(["--run", "serve", "--engine", "fake"]).finished;
    expect(titles(clone.takeCalls())).not.toContain("cmake --build");
    await clone.setUp(["--run", "serve", "--no-build"]).finished;
    expect(titles(clone.takeCalls())).not.toContain("cmake --build");
    await clone.setUp(["--run", "serve"]).finished;
    expect(titles(clone.takeCalls())).toContain("cmake --build");
  });

  it("builds nothing into an environment of the user's own", async () => {
    await clone.setUp().finished;
    const env = { MLX_SERVING_PYTHON_ENV: join(clone.folder, "python", ".venv") };
    clone.write("native/CMakeLists.txt", "changed");
    clone.takeCalls();
    await clone.setUp([], env).finished;
    expect(clone.takeCalls()).toEqual([]);
  });

  it("is set up by one of two that start at once", async () => {
    const both = await Promise.all([clone.setUp().finished, clone.setUp().finished]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(titles(clone.takeCalls()).filter((call) => call === "npm ci")).toHaveLength(1);
  });
});

describe("a change", () => {
  it.each([
    ["package-lock.json", '{"packages":{"node_modules/a":{"version":"1.0.0"}}}', ["npm ci"]],
    ["python/uv.lock", "changed", ["converter -c", "uv sync"]],
    ["python/embedded-model.txt", "model==2", ["converter -m", "uv pip"]],
    ["python/mlx_serving/models/embedded.py", "LAYOUT: Final = 2\n", ["converter -m", "uv pip"]],
    ["python/mlx_serving/other.py", "x = 1\n", []],
    [
      "native/CMakeLists.txt",
      "changed",
      ["cmake --build", "cmake --install", "cmake -S", "converter -c"],
    ],
  ])("of %s repeats what depends on it", async (name, content, repeated) => {
    await clone.setUp().finished;
    clone.takeCalls();
    clone.write(name, content);
    expect((await clone.setUp().finished).code).toBe(0);
    expect(titles(clone.takeCalls()).sort()).toEqual(repeated);
  });

  it.each(["src-ts/index.ts", "src-res/Machine.res"])("of %s compiles again", async (name) => {
    await clone.setUp().finished;
    clone.write(name, "let changed = true");
    expect((await clone.setUp().finished).stderr).toMatch(/TypeScript|ReScript/);
    expect((await clone.setUp().finished).stderr).toBe("");
  });

  it("of nothing but a removed result makes that again", async () => {
    await clone.setUp().finished;
    clone.takeCalls();
    rmSync(join(clone.folder, "python", ".venv"), { recursive: true });
    await clone.setUp().finished;
    expect(titles(clone.takeCalls())[0]).toBe("uv sync");
  });
});

describe("an interruption", () => {
  it.each([
    ["npm ci", "SIGINT", 130],
    ["uv sync", "SIGTERM", 143],
    ["uv pip", "SIGINT", 130],
    ["cmake --build", "SIGINT", 130],
    ["converter -m", "SIGINT", 130],
  ] as const)(
    "of %s by %s leaves nothing running, and the next run goes on",
    async (slow, signal, code) => {
      const run = clone.setUp([], { SLOW: slow });
      const pid = await clone.slowPid();
      run.child.kill(signal);
      const finished = await run.finished;
      expect(finished.stderr).toContain("the next run goes on from here");
      expect(finished.code).toBe(code);
      expect(exists(pid)).toBe(false);
      clone.takeCalls();
      expect((await clone.setUp().finished).code).toBe(0);
      expect(titles(clone.takeCalls())).toContain(slow);
      expect(existsSync(join(clone.model, "config.json"))).toBe(true);
    },
  );
});

describe("a failure", () => {
  it("is one sentence, the end of the output and the name of the log", async () => {
    const { code, stdout, stderr } = await clone.setUp([], { FAIL: "npm ci" }).finished;
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("  | npm cannot go on\nThe npm packages could not be installed; ");
    expect(stderr).toContain(`The whole log: ${join(".setup", "npm.log")}\n`);
    expect((await clone.setUp().finished).code).toBe(0);
  });

  it("of a download is tried again before it counts", async () => {
    const { code, stderr } = await clone.setUp([], { FAIL: "uv pip" }).finished;
    expect(code).toBe(1);
    expect(stderr).toContain("serve another model with --model");
    const tries = clone
      .takeCalls()
      .filter((call) => call.startsWith("uv pip") && !call.includes("native/pins"));
    expect(tries).toHaveLength(3);
  });

  it("of the GPU's packages is one line, and the CPU's are installed", async () => {
    const env = { MLX_SERVING_ACCELERATOR: "cuda", FAIL: "uv sync --frozen --no-group cpu" };
    const { code, stderr } = await clone.setUp([], env).finished;
    expect(code).toBe(0);
    if (process.platform === "linux") {
      expect(stderr).toContain("The NVIDIA GPU can't be used (uv cannot go on)");
    }
    expect((await clone.setUp([], env).finished).stderr).toBe("");
  });

  it("of the native parts is one line, and the set-up goes on", async () => {
    const { code, stderr } = await clone.setUp([], { FAIL: "cmake --build" }).finished;
    expect(code).toBe(0);
    expect(stderr).toMatch(/^Not built: krserve_native: cmake .*\. Going on without\.$/m);
    expect(stderr).toMatch(/^– native parts/m);
    expect((await clone.setUp([], { FAIL: "cmake --build" }).finished).stderr).toBe("");
  });

  it("for want of a Python says which is needed, with exit code 2", async () => {
    const env = { MLX_SERVING_PYTHON: "/no/such/python" };
    const { code, stderr } = await clone.setUp([], env).finished;
    expect(code).toBe(2);
    expect(stderr).toContain("name Python 3.11 or newer");
  });
});

it("explains its own usage", async () => {
  const { code, stderr } = await clone.setUp(["--build"]).finished;
  expect(code).toBe(2);
  expect(stderr).toContain("Usage: node setup/clone/main.mjs");
});
