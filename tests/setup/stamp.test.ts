import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { isFresh, listInputs, removeStamp, takeStamp, writeStamp } from "../../setup/stamp.mjs";

let root: string;
let stamp: string;
const files = ["a", "b"];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "mlx-serving-stamp-"));
  stamp = join(root, "stamps", "s.json");
  for (const file of files) writeFileSync(join(root, file), file);
  writeStamp(stamp, takeStamp(root, files, "v1"));
});
afterEach(() => rmSync(root, { recursive: true }));

it("is fresh for the same files and key", () => {
  expect(isFresh(stamp, root, files, "v1")).toBe(true);
});

it("is not fresh without a stamp", () => {
  removeStamp(stamp);
  expect(isFresh(stamp, root, files, "v1")).toBe(false);
});

it("is not fresh for another key", () => {
  expect(isFresh(stamp, root, files, "v2")).toBe(false);
});

it("is not fresh when a file has other content, also of the same size", () => {
  writeFileSync(join(root, "a"), "x");
  utimesSync(join(root, "a"), 1, 1);
  expect(isFresh(stamp, root, files, "v1")).toBe(false);
});

it("stays fresh when only the time of a file has changed, as after a new checkout", () => {
  utimesSync(join(root, "a"), 1, 1);
  expect(isFresh(stamp, root, files, "v1")).toBe(true);
});

it("is not fresh when a file is missing, new or renamed", () => {
  expect(isFresh(stamp, root, ["a"], "v1")).toBe(false);
  expect(isFresh(stamp, root, ["a", "c"], "v1")).toBe(false);
  expect(isFresh(stamp, root, ["a", "b", "c"], "v1")).toBe(false);
  rmSync(join(root, "b"));
  expect(isFresh(stamp, root, files, "v1")).toBe(false);
});

it("takes a stamp that was cut short for none", () => {
  writeFileSync(stamp, '{"key":');
  expect(isFresh(stamp, root, files, "v1")).toBe(false);
});

it("lists files of folders, in order, and leaves out what is absent or not wanted", () => {
  mkdirSync(join(root, "folder", "deep"), { recursive: true });
  for (const name of ["z.res", "a.txt", "deep/m.res"])
    writeFileSync(join(root, "folder", name), "");
  expect(listInputs(root, ["b", "folder", "absent"], (path) => path.endsWith(".res"))).toEqual([
    "b",
    join("folder", "deep", "m.res"),
    join("folder", "z.res"),
  ]);
});
