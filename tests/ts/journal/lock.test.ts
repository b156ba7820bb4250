import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FolderInUse, lockFolder, lockName } from "../../../src-ts/journal/lock.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lock-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const lockPath = () => join(folder, lockName);
const heldBy = (holder: object) =>
  writeFileSync(
    lockPath(),
    JSON.stringify({ pid: 1, host: hostname(), startedAt: "", token: "t", ...holder }),
  );

describe("the lock of a folder", () => {
  it("is one process's, until it gives it back", () => {
    const release = lockFolder(folder);
    expect(() => lockFolder(folder)).toThrow(FolderInUse);
    expect(() => lockFolder(folder)).toThrow(`process ${process.pid} on ${hostname()}`);
    release();
    lockFolder(folder)();
  });

  it("of a process that is gone is nobody's", () => {
    const { pid } = spawnSync(process.execPath, ["-e", ""]);
    heldBy({ pid });
    lockFolder(folder)();
  });

  it("of a process whose pid somebody else has now is nobody's", () => {
    heldBy({ pid: process.pid, startedAt: "another boot/1" });
    lockFolder(folder)();
  });

  it("of a process on another machine counts while it is kept fresh", () => {
    heldBy({ host: "elsewhere" });
    expect(() => lockFolder(folder)).toThrow("process 1 on elsewhere");
    const old = new Date(Date.now() - 60_000);
    utimesSync(lockPath(), old, old);
    lockFolder(folder)();
  });

  it("is not given back by one who lost it", () => {
    const release = lockFolder(folder);
    heldBy({ pid: process.ppid, token: "somebody else" });
    release();
    expect(readFileSync(lockPath(), "utf8")).toContain("somebody else");
  });
});
