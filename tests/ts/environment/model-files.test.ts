import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { bytesAt, idOf, modelAt } from "../../../src-ts/environment/model-files.js";
import { ggufFile } from "../support/gguf-file.js";

const folder = mkdtempSync(join(tmpdir(), "mlx-serving-files-"));
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
});

const complete = ["config.json", "model.safetensors", "tokenizer.json"];

function makeModel(name: string, files: readonly string[] = complete): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  for (const file of files) writeFileSync(join(path, file), "{}");
  return path;
}

describe("a model folder", () => {
  it.each(["tokenizer.json", "tokenizer.model", "vocab.json", "o200k.tiktoken"])(
    "may have its tokenizer in %s",
    (tokenizer) => {
      const path = makeModel("mine", ["config.json", "model.safetensors", tokenizer]);
      expect(modelAt(path)).toEqual({ kind: "folder", path });
    },
  );

  it.each(complete)("is refused without %s", (absent) => {
    const files = complete.filter((name) => name !== absent);
    expect(() => modelAt(makeModel("mine", files))).toThrow(/has no /);
  });

  it("takes the bytes of all its files", () => {
    const path = makeModel("mine");
    makeModel("mine/deep", ["x"]);
    expect(bytesAt(path)).toBe(2 * (complete.length + 1));
  });
});

describe("a GGUF file", () => {
  const bytes = ggufFile({ "general.architecture": "llama" });

  it("is a model by what is in it, and called as it is without its ending", () => {
    const path = join(makeModel("mine", []), "mine-Q4_K_M.gguf");
    writeFileSync(path, bytes);
    expect(modelAt(path)).toEqual({ kind: "gguf", path });
    expect(idOf(path)).toBe("mine-Q4_K_M");
    expect(bytesAt(path)).toBe(bytes.length);
    writeFileSync(path, "not what it is called");
    expect(() => modelAt(path)).toThrow("is a file; a model is a folder, or a GGUF file");
  });

  it("is found in a folder that has nothing else of a model's, and no second one", () => {
    const path = makeModel("mine", ["README.md"]);
    writeFileSync(join(path, "b.gguf"), bytes);
    expect(modelAt(path)).toEqual({ kind: "gguf", path: join(path, "b.gguf") });
    writeFileSync(join(path, "a.gguf"), bytes);
    expect(() => modelAt(path)).toThrow(
      `has 2 GGUF files; name one of them, such as ${path}/a.gguf`,
    );
    makeModel("mine");
    expect(modelAt(path)).toEqual({ kind: "folder", path });
    rmSync(join(path, "tokenizer.json"));
    expect(() => modelAt(path)).toThrow("has no tokenizer");
  });
});
