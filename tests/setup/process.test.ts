import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { packageRoot } from "../../setup/paths.mjs";
import { run, SetupError } from "../../setup/process.mjs";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mlx-serving-run-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const node = (script: string, options = {}) => run(process.execPath, ["-e", script], options);

it("resolves with the output, and tells its lines", async () => {
  const lines: string[] = [];
  const output = await node("console.log('one'); console.error('two')", {
    onLine: (line: string) => lines.push(line),
  });
  expect(output).toBe("one\n");
  expect(lines.sort()).toEqual(["one", "two"]);
});

it("rejects with the end of the output, the log and the given sentence", async () => {
  const logFile = join(folder, "logs", "step.log");
  const script = "for (let i = 0; i < 40; i++) console.log('line ' + i); process.exitCode = 3";
  const error = await node(script, { logFile, failure: "It failed." }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SetupError);
  expect(error).toMatchObject({ message: "It failed.", logFile, exitCode: 1 });
  expect((error as SetupError).tail.at(-1)).toBe("line 39");
  expect((error as SetupError).tail.length).toBeLessThan(20);
  expect(readFileSync(logFile, "utf8")).toContain("line 0\n");
});

it("says which program was not found", async () => {
  await expect(run("no-such-program-here", [])).rejects.toThrow(
    "no-such-program-here was not found",
  );
});

it("ends the program and what it has started when it is aborted", async () => {
  const pidFile = join(folder, "pid");
  const script = `
    const { spawn } = require("node:child_process");
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "inherit" });
    require("node:fs").writeFileSync(${JSON.stringify(pidFile)}, String(child.pid));
    console.log("started");
    setInterval(() => {}, 1000);`;
  const abort = new AbortController();
  const running = node(script, { signal: abort.signal, onLine: () => abort.abort() });
  await expect(running).rejects.toThrow("interrupted");
  const grandchild = Number(readFileSync(pidFile, "utf8"));
  // A killed process closes its pipes, which the rejection waits for, a moment before it is gone.
  await vi.waitUntil(() => !isRunning(grandchild), { timeout: 10_000, interval: 1 });
});

it.each(["SIGKILL", "SIGHUP"] as const)(
  "ends what it has started with itself, by %s",
  async (how) => {
    const pidFile = join(folder, "pid");
    const module = JSON.stringify(pathToFileURL(join(packageRoot, "setup", "process.mjs")).href);
    const write = `require("node:fs").writeFileSync(${JSON.stringify(pidFile)}, String(process.pid))`;
    const hangs = `process.on("SIGTERM", () => {}); ${write}; setInterval(() => {}, 1000)`;
    const script = `
    const { run } = await import(${module});
    await run(process.execPath, ["-e", ${JSON.stringify(hangs)}]);`;
    const setup = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: "ignore",
    });
    const pid = await vi.waitUntil(
      () => existsSync(pidFile) && Number(readFileSync(pidFile, "utf8")),
      {
        timeout: 30_000,
      },
    );
    setup.kill(how);
    await vi.waitUntil(() => !isRunning(pid), { timeout: 30_000, interval: 5 });
  },
);

it("leaves no guard behind", async () => {
  const guards = (await node("console.log(process.pid)")).trim();
  const isGuard = (id: string) => {
    try {
      return readFileSync(`/proc/${id}/cmdline`, "utf8").split("\0").at(-2) === guards;
    } catch {
      return false;
    }
  };
  const ids = () =>
    existsSync("/proc") ? readdirSync("/proc").filter((id) => /^\d+$/.test(id)) : [];
  await vi.waitUntil(() => !ids().some(isGuard), { timeout: 10_000 });
});

it("does not start anything once it is aborted", async () => {
  const marker = join(folder, "marker");
  writeFileSync(marker, "untouched");
  const signal = AbortSignal.abort();
  const script = `require("node:fs").writeFileSync(${JSON.stringify(marker)}, "touched")`;
  await expect(node(script, { signal })).rejects.toThrow("interrupted");
  expect(readFileSync(marker, "utf8")).toBe("untouched");
});

/** False for one that has ended and waits to be collected, where the system tells. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const status = `/proc/${pid}/status`;
  return !existsSync(status) || !/^State:\s+Z/m.test(readFileSync(status, "utf8"));
}
