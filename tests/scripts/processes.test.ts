import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { describe, expect, it, vi } from "vitest";
import { freePort, signalGroup } from "../../scripts/lib/processes.mjs";
import { isAlive } from "../e2e/support/server.js";

it("a free port can be listened on", async () => {
  const server = createServer().listen(await freePort(), "127.0.0.1");
  await once(server, "listening");
  server.close();
});

it("a signal reaches what a program has started, and is no error once that has ended", async () => {
  const child = spawn("sh", ["-c", "sleep 60 & echo started; wait"], {
    stdio: ["ignore", "pipe", "ignore"],
    detached: true,
  });
  await once(child.stdout!, "data");
  signalGroup(child.pid, "SIGKILL");
  // Only when the sleeper has gone too: it holds the pipe.
  expect(await once(child, "close")).toEqual([null, "SIGKILL"]);
  expect(() => signalGroup(child.pid, "SIGKILL")).not.toThrow();
  expect(() => signalGroup(undefined, "SIGKILL")).not.toThrow();
});

describe("a program that shall end with who started it", () => {
  const module = new URL("../../scripts/lib/processes.mjs", import.meta.url).href;
  /** Starts a sleeper as its own group, says its pid, and then does that. */
  const starter = (then: string) => `
    import { spawn } from "node:child_process";
    import { endWithUs } from ${JSON.stringify(module)};
    const sleeper = spawn("sleep", ["60"], { detached: true, stdio: "ignore" });
    sleeper.unref();
    const release = endWithUs(sleeper.pid);
    console.log(sleeper.pid);
    ${then}`;
  const start = async (then: string) => {
    const program = ["--input-type=module", "-e", starter(then)];
    const child = spawn(process.execPath, program, { stdio: ["ignore", "pipe", "inherit"] });
    const [said] = await once(child.stdout, "data");
    return { child, sleeper: Number(said) };
  };

  it("does so after a SIGKILL", async () => {
    const { child, sleeper } = await start("setInterval(() => {}, 1_000);");
    expect(isAlive(sleeper)).toBe(true);
    child.kill("SIGKILL");
    await vi.waitUntil(() => !isAlive(sleeper), { timeout: 30_000 });
  });

  it("keeps nobody alive, and goes on once it was let go", async () => {
    const { child, sleeper } = await start("release();");
    if (child.exitCode === null) await once(child, "exit");
    expect(isAlive(sleeper)).toBe(true);
    signalGroup(sleeper, "SIGKILL");
  });
});
