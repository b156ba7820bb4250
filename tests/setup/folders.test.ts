import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { makeFolder } from "../../setup/folders.mjs";

const folder = mkdtempSync(join(tmpdir(), "mlx-serving-folders-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("makeFolder", () => {
  it("makes what is missing, with the mode that is asked for, and is content with what is there", () => {
    const path = join(folder, "a", "b");
    makeFolder(path, 0o700);
    makeFolder(path, 0o700);
    expect(statSync(join(folder, "a")).mode & 0o777).toBe(0o700);
    expect(statSync(path).mode & 0o777).toBe(0o700);
  });

  it("tells a file in its place or on its way", () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    expect(() => makeFolder(file)).toThrow(/EEXIST/);
    expect(() => makeFolder(join(file, "below"))).toThrow(/ENOTDIR/);
  });

  it("tells a link to nowhere", () => {
    const link = join(folder, "link");
    symlinkSync(join(folder, "nowhere"), link);
    expect(() => makeFolder(link)).toThrow(/EEXIST/);
    expect(() => makeFolder(join(link, "below"))).toThrow(/EEXIST|ENOENT/);
  });

  // Node's own never comes back from there.
  it.runIf(existsSync("/proc/self"))("comes back from where no folder can be made", () => {
    expect(() => makeFolder("/proc/mlx-serving")).toThrow(/ENOENT/);
    expect(() => makeFolder("/proc/mlx-serving/below")).toThrow(/ENOENT/);
  });
});
