import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { UsageFile, type UsageRecord, usageFileName } from "../../../src-ts/keys/usage-file.js";

function fileIn() {
  const folder = mkdtempSync(join(tmpdir(), "mlx-serving-usage-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const warnings: unknown[] = [];
  const file = new UsageFile(folder, (message, fields) => warnings.push([message, fields]));
  return { folder, file, warnings, path: join(folder, usageFileName) };
}

const record: UsageRecord = {
  ...{ requests: 3, promptTokens: 20, completionTokens: 10, lastUsedAt: 1_900_000_000_000 },
  ...{ day: "2030-03-17", dayTokens: 30, month: "2030-03", monthTokens: 30 },
};

it("gives back what it was given, as a whole and to its owner alone", async () => {
  const { folder, file, path } = fileIn();
  expect(file.load()).toEqual(new Map());
  await file.save(new Map([["alice", record]]));
  expect(file.load()).toEqual(new Map([["alice", record]]));
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder)).toEqual([usageFileName]);
});

it("reads a file with less in it, and puts one aside that it can't read", () => {
  const { file, path, warnings } = fileIn();
  writeFileSync(path, '{"version": 1, "keys": {"alice": {"requests": 3, "later": 1}}}');
  expect(file.load().get("alice")).toMatchObject({ requests: 3, dayTokens: 0, day: "" });
  for (const damaged of [
    "",
    "{",
    '{"version": 2, "keys": {}}',
    '{"version": 1, "keys": {"a": 1}}',
  ]) {
    writeFileSync(path, damaged);
    expect(file.load()).toEqual(new Map());
    expect(readFileSync(`${path}.damaged`, "utf8")).toBe(damaged);
  }
  expect(warnings).toHaveLength(4);
});
