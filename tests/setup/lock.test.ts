import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { acquireLock } from "../../setup/lock.mjs";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mlx-serving-lock-"));
  path = join(folder, "lock");
});
afterEach(() => rmSync(folder, { recursive: true }));

/** The id of a process that has ended. */
function deadPid(): number {
  return spawnSync(process.execPath, ["-e", ""]).pid;
}

it("is held by one at a time", async () => {
  const order: string[] = [];
  const release = await acquireLock(path);
  const second = acquireLock(path, { onWait: (holder: string) => order.push(holder) }).then(
    (releaseSecond: () => void) => {
      order.push("second");
      releaseSecond();
    },
  );
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(order).toEqual([`process ${process.pid} on ${hostname()}`]);
  release();
  await second;
  expect(order).toContain("second");
  expect(existsSync(path)).toBe(false);
});

it("is taken from a holder that has died", async () => {
  writeFileSync(path, JSON.stringify({ pid: deadPid(), host: hostname(), since: 1 }));
  const release = await acquireLock(path);
  release();
  expect(existsSync(path)).toBe(false);
});

it("is taken from a holder elsewhere that no longer touches it", async () => {
  writeFileSync(path, JSON.stringify({ pid: 1, host: "elsewhere", since: 1 }));
  const longAgo = Date.now() / 1000 - 3600;
  utimesSync(path, longAgo, longAgo);
  const release = await acquireLock(path);
  release();
  expect(existsSync(path)).toBe(false);
});

it("is left to a holder elsewhere that still touches it", async () => {
  writeFileSync(path, JSON.stringify({ pid: deadPid(), host: "elsewhere", since: 1 }));
  const abort = new AbortController();
  const waiting = acquireLock(path, { signal: abort.signal, onWait: () => abort.abort() });
  await expect(waiting).rejects.toThrow(/abort/i);
  expect(existsSync(path)).toBe(true);
});

it("lets one of many through at a time, also past a dead holder", async () => {
  writeFileSync(path, JSON.stringify({ pid: deadPid(), host: hostname(), since: 1 }));
  let inside = 0;
  let most = 0;
  await Promise.all(
    Array.from({ length: 5 }, async () => {
      const release = await acquireLock(path);
      inside += 1;
      most = Math.max(most, inside);
      await new Promise((resolve) => setTimeout(resolve, 5));
      inside -= 1;
      release();
    }),
  );
  expect(most).toBe(1);
});
