import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { readGguf } from "../../../src-ts/environment/gguf.js";
import { ggufFile, ggufText, u32, u64 } from "../support/gguf-file.js";

const folder = mkdtempSync(join(tmpdir(), "mlx-serving-gguf-"));
afterAll(() => rmSync(folder, { recursive: true }));

function read(bytes: Buffer) {
  const path = join(folder, "model.gguf");
  writeFileSync(path, bytes);
  return readGguf(path);
}

const texts = (...all: string[]) =>
  Buffer.concat([u32(9), u32(8), u64(all.length), ...all.map(ggufText)]);

const whole = ggufFile({
  "general.architecture": "llama",
  "general.alignment": Buffer.concat([u32(4), u32(32)]),
  "general.is_odd": Buffer.concat([u32(7), Buffer.of(1)]),
  "general.tags": texts("a", "b"),
  "general.name": "Some Model",
});

it("says what it is, over whatever stands between", () => {
  expect(read(whole)).toEqual({
    architecture: "llama",
    name: "Some Model",
  });
});

it("says what stands before its bytes end, or mean nothing", () => {
  for (let end = 4; end < whole.length; end += 5)
    expect(read(whole.subarray(0, end))).toBeDefined();
  const long = ggufFile({
    "general.architecture": "llama",
    "tokenizer.ggml.tokens": texts("x".repeat(100_000)),
    "general.name": "late",
  });
  expect(read(long)).toEqual({ architecture: "llama" });
  const odd = ggufFile({ "general.architecture": "llama", odd: u32(99), "general.name": "late" });
  expect(read(odd)).toEqual({ architecture: "llama" });
  expect(read(ggufFile({ "general.name": "old" }, 1))).toEqual({});
});

it("says nothing that a terminal would take for an order", () => {
  const name = `\u001b[2J${"long ".repeat(50)}`;
  expect(read(ggufFile({ "general.name": name }))!.name).toMatch(/^\[2Jlong [a-z ]{1,75}$/);
});

it("is told from other files", () => {
  expect(read(Buffer.from("PK"))).toBeUndefined();
  expect(read(Buffer.alloc(0))).toBeUndefined();
});
