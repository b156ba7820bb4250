import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { bytesArrived } from "../../setup/arrived.mjs";

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "mlx-serving-arrived-"));
});
afterEach(() => rmSync(cache, { recursive: true }));

function write(folder: string, name: string, bytes: number, modifiedAt: number): void {
  mkdirSync(join(cache, folder), { recursive: true });
  writeFileSync(join(cache, folder, name), "x".repeat(bytes));
  utimesSync(join(cache, folder, name), modifiedAt, modifiedAt);
}

it("is the size of the newest file that is being unpacked", () => {
  write(".tmpOld/model", "m.gguf", 90, 1000);
  write(".tmpNew/model", "m.gguf", 40, 2000);
  write(".tmpNew/model", "m.py", 70, 3000);
  write("archive-v0/x", "m.gguf", 99, 4000);
  expect(bytesArrived(cache, ".gguf")).toBe(40);
});

it("is unknown where nothing is being unpacked, or the cache isn't there", () => {
  write("archive-v0/x", "m.gguf", 99, 4000);
  expect(bytesArrived(cache, ".gguf")).toBeUndefined();
  expect(bytesArrived(join(cache, "absent"), ".gguf")).toBeUndefined();
});
