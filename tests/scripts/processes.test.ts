import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { expect, it } from "vitest";
import { freePort, signalGroup } from "../../scripts/lib/processes.mjs";

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
